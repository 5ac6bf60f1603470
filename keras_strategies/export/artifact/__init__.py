"""A `.tflite` file: its contents, its metadata, and running it."""
