"""Augmentation in pipelines: fused, and on other machines."""
