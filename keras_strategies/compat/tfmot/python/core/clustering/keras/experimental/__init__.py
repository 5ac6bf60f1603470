"""`tensorflow_model_optimization.python.core.clustering.keras.experimental`."""

from keras_strategies.compat.tfmot.clustering import experimental as cluster

__all__ = ["cluster"]
