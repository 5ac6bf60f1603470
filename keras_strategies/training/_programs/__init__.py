"""Compiled programs that train models which were built alike."""
