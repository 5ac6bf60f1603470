"""One compiled model in the place of many of the same structure."""
