"""Watches the platform from outside Dagster, alerts its operators to problems, and serves metrics to Prometheus.

It reads Dagster's storage with a login that may do little else, asks the launch service for the state of the
platform's containers, and checks the disk. It does not import Dagster, so it works while Dagster does not.
"""
