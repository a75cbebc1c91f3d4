"""The objects of which one is like the other: a function for each, from facts to JSON, as `objects` has them."""
