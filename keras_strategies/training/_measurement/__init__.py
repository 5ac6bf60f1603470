"""Measured times of candidates, and the selection of a plan."""
