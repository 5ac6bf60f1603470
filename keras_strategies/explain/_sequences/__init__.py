"""Explanations of models over sequences of tokens."""

from keras_strategies.explain._sequences.rollout import attention_rollout
from keras_strategies.explain._sequences.tokens import token_attributions

__all__ = ["attention_rollout", "token_attributions"]
