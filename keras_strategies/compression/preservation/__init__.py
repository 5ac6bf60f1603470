"""Zeros and shared values that stay through plain training."""
