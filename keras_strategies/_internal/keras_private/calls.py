"""Running calls of layers: backend, outermost layer, name scopes."""

import contextlib
import functools
import re

import keras
from keras.src.backend.common import global_state
from keras.src.layers.preprocessing.data_layer import DataLayer as DataLayer
from keras.src.layers.preprocessing.image_preprocessing.base_image_preprocessing_layer import (  # noqa: E501
    BaseImagePreprocessingLayer as BaseImagePreprocessingLayer,
)

# BaseImagePreprocessingLayer: the base of Keras's Random* layers. Not exported,
# yet the only way to a layer that runs in `tf.data.map` on every backend and
# takes masks and boxes. DataLayer: its own base, for what is no image. Keras 3.12 to
# 3.15.


@functools.cache
class _BackendOps:
    """The functions of one backend under the names they have in `keras.ops`."""

    def __init__(self, *modules):
        self._modules = modules

    def __getattr__(self, name):
        for module in self._modules:
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"this backend has no {name!r}")


def backend_ops(backend):
    """What serves as `keras.ops` for the backend a preprocessing layer runs on.

    In a `tf.data` pipeline a preprocessing layer works on TensorFlow tensors also
    when Keras's backend is another one (`layer.backend` is then switched), where
    the public `keras.ops` do not apply. One object a backend. Keras 3.12 to 3.15.
    """
    if backend.name == keras.backend.backend():
        return keras.ops
    return _BackendOps(backend.core, backend.numpy, backend.math)


def outermost(layer):
    """The layer that was called from outside, in whose call `layer` is running now.

    In a training step that is the model that is trained; on JAX only where Keras
    finds out shapes, as the step itself bypasses calls. Keras 3.12 to 3.15.
    """
    return layer._get_call_context().entry_layer


def runs_in_tf_data(layer):
    """Whether `layer` is one that Keras makes fit for `tf.data` on every backend.

    Their common base is not exported; the method is its alone. Keras 3.12 to 3.15.
    """
    return hasattr(layer, "_get_seed_generator")


@contextlib.contextmanager
def seeds_from(layer, generator):
    """Lets an image layer draw its seeds from `generator` inside the block.

    Keras's image layers ask a private method for their generator, once a call, and
    hand it on to layers that they hold. Its state is a variable, which a graph that
    runs elsewhere can only copy. Keras 3.12 to 3.15.
    """
    # Around Keras's own setting of attributes, which tracks what it is given.
    object.__setattr__(layer, "_get_seed_generator", lambda backend=None: generator)
    try:
        yield
    finally:
        object.__delattr__(layer, "_get_seed_generator")


@contextlib.contextmanager
def exact_scopes():
    """Names TensorFlow operations after the path of their layer, exactly.

    Yields a dict that fills with `{"outer/inner": layer}` while layers are called
    inside the block. Keras opens a layer's scope several times, and TensorFlow
    then appends `_1`, `_2`, ...: the operations of `conv2d` and `conv2d_1` cannot
    be told apart. A scope that ends in a slash is entered as it is. No public name
    reaches the scopes. TensorFlow backend, Keras 3.12 to 3.15.
    """
    from keras.src import backend

    scope, seen = backend.name_scope, {}
    enter = scope.__enter__

    def enter_exactly(self):
        stack = global_state.get_global_attribute("name_scope_stack") or []
        names = [*(entry.name for entry in stack), self.name]
        if stack and stack[-1].caller is self.caller and names[-1] == names[-2]:
            names.pop()  # entered twice for one call: Keras drops the second
        path = "/".join(re.sub(r"[^A-Za-z0-9_.\\\-]", "_", name) for name in names)
        path = path if path[0].isalnum() else f"layer{path}"
        if isinstance(self.caller, keras.layers.Layer):
            seen.setdefault(path, self.caller)
        self._tf_name_scope = type(self._tf_name_scope)(f"{path}/")
        return enter(self)

    scope.__enter__ = enter_exactly
    try:
        yield seen
    finally:
        scope.__enter__ = enter
