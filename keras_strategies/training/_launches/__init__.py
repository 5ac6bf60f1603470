"""Launches: calls of one compiled program for many steps, and callbacks beside them."""
