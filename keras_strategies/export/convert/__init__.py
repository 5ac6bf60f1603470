"""Conversion of a Keras model into a checked `.tflite` file."""
