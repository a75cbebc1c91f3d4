"""What the host has beside Dagster's own services: the run launcher, first set-up, purge."""
