"""Layers that spoil images as cameras and compression do."""
