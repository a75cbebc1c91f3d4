"""Stripe, mirrored into the warehouse."""

import warnings

OWNERS = ["team:stripe-ingest"]
"""Who owns every asset and job of the location, and gets its alerts."""

# Owners of jobs are in beta, and Dagster would warn about every job each time the location is loaded.
warnings.filterwarnings("ignore", "Parameter `owners` of ")
