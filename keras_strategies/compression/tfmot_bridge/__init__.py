"""Conversion between Keras 3 and tf_keras, the Keras of TFMOT."""
