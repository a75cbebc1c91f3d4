"""Watches the platform from outside Dagster, alerts its operators to problems, and serves metrics to Prometheus.

It reads Dagster's storage with a login that may do nothing else, asks the launch service for the state of the
platform's containers, and looks at the disk. Dagster is not imported: it works while Dagster does not.
"""
