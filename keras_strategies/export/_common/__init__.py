"""Parts of every export: errors, sample data, signatures of Keras models."""
