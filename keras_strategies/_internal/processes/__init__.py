"""Processes and executors, and how they end."""
