"""Reads tables of a SQL database: what they are, how they are read side by side, what differs from the warehouse."""
