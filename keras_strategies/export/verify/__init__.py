"""Agreement of an artifact with its Keras model."""
