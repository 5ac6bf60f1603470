"""Artifacts that train on the device."""
