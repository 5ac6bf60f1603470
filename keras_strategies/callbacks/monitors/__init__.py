"""Measurements of a training: gradients, speed, memory, progress."""
