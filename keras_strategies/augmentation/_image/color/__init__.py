"""Layers that change colors."""
