"""Layers that mix the images of a batch."""
