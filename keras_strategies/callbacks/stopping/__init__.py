"""Stopping rules: no progress, a target, a time limit."""
