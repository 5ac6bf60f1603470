"""Other libraries' names for what this package does on Keras 3 models.

`tfmot` has the names of TensorFlow Model Optimization, so that a script written for
it runs with one changed import.
"""

from keras_strategies.compat import tfmot

__all__ = ["tfmot"]
