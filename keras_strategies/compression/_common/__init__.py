"""Weights, constraints and size estimates that all kinds of compression share."""
