"""Search for the smallest or fastest model within a budget of accuracy."""
