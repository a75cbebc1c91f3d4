"""Watches the platform from outside of Dagster, tells who runs it when it is ill, and has its numbers for Prometheus.

It reads Dagster's storage with a login that may do nothing else, asks the launch service for the state of the
platform's containers, and looks at the disk. Dagster is not imported: it works while Dagster does not.
"""
