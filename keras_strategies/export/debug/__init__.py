"""Measured quantization errors of single layers, with causes and fixes."""
