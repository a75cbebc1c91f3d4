"""GitHub, mirrored into the warehouse."""
