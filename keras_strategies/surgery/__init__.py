"""Model surgery: layers of a model inserted, replaced, removed, renamed, cut out.

Each function returns a copy with copies of the weights and leaves the given model as
it is. They take Sequential and Functional models, nested ones included.
"""

from keras_strategies.surgery._insert import insert
from keras_strategies.surgery._rename import rename
from keras_strategies.surgery._replace import remove, replace
from keras_strategies.surgery._submodel import split, submodel

__all__ = ["insert", "remove", "rename", "replace", "split", "submodel"]
