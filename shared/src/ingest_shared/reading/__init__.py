"""How lists of an API are read: declared by a location, walked here."""
