"""Implementation of `ImageDataGenerator`."""
