"""Clipped and masked gradients."""
