"""Changes of a float model after which int8 costs less accuracy, without training."""
