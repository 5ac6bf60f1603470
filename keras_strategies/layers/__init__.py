"""Layers that Keras does not ship, for any backend.

`StochasticDepth` drops residual branches at random, one decision a sample.
"""

from keras_strategies.layers.stochastic_depth import StochasticDepth

__all__ = ["StochasticDepth"]
