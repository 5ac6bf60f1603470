"""Measured quantization errors of single layers."""
