"""Layers that hide parts of images."""
