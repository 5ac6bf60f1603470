"""Layers that move pixels."""
