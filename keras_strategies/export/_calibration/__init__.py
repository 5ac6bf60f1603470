"""Ranges of activations, and the quantizers that use them."""
