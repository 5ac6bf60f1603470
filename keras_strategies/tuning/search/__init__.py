"""The tuner: runs the trials of a search and answers with their results."""

from keras_strategies.tuning.search.tuner import Tuner

__all__ = ["Tuner"]
