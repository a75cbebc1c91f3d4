"""Stripe, mirrored into the warehouse."""

import warnings

OWNERS = ["team:stripe-ingest"]
"""Who owns every asset and job of the location, and gets its alerts."""

# Dagster's owners of jobs are in beta, and it would say so of every job at each load of the location.
warnings.filterwarnings("ignore", "Parameter `owners` of ")
