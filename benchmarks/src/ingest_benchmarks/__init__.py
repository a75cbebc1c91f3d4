"""How fast the load path is: against its floor, and against dlt without it."""
