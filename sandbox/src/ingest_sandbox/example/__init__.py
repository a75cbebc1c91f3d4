"""A plain API, such as many are: the origin of a location that was just made."""
