"""What the host adds to Dagster's own services: the run launcher, first set-up, purge."""
