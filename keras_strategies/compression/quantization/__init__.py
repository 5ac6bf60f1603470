"""Quantization-aware training for int8 `.tflite` files."""
