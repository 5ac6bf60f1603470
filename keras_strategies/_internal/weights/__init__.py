"""Kernels and the values of variables."""
