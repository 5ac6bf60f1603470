"""Augmentation in pipelines: compiled, fused, on other machines."""
