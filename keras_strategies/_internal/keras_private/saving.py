"""Copying through configs: trust of live code, scopes of custom objects."""

import contextlib
import inspect

import keras
from keras.src.backend.common import global_state
from keras.src.legacy.saving import legacy_h5_format
from keras.src.saving import saving_lib
from keras.src.saving.serialization_lib import SafeModeScope


@contextlib.contextmanager
def trusting_object_scope(objects):
    """Makes `objects` known to Keras beside those of the scopes around it.

    `keras.saving.custom_object_scope` replaces an enclosing scope of the user's, and
    nothing public tells what that holds. Python lambdas are deserialized too: the
    configs copied inside come from live objects, not from files, and the public
    switch for that cannot be set back. Keras 3.12 to 3.15.
    """
    around = global_state.get_global_attribute("custom_objects_scope_dict", {})
    with keras.saving.custom_object_scope({**around, **objects}), SafeModeScope(False):
        yield


def share_lambda_functions(old, new):
    """Gives the copy of a `Lambda` the functions of the live one.

    A function that went through a config has lost the global names of its module.
    The functions for the shape and the mask have no public attribute. Keras 3.12 to
    3.15.
    """
    new.function = old.function
    new._output_shape = old._output_shape
    new.mask = old.mask


def has_functional_constructor(kind):
    """Whether a class of models is constructed by `(inputs, outputs, name)`.

    Keras's own rule for which Functional subclasses it saves by their graph; the
    function that holds it is private. Keras 3.12 to 3.15.
    """
    functional = next(base for base in kind.__mro__ if keras.Function in base.__bases__)
    own = inspect.getfullargspec(kind.__init__)
    arguments = inspect.getfullargspec(functional.__init__).args[1:]
    if own.args[1:] == arguments:
        return True
    return own.varargs is not None and own.varkw is not None


def input_layer_of(tensor):
    """The `InputLayer` that made an input tensor of a model.

    A tensor knows its layer only privately. Keras 3.12 to 3.15.
    """
    return tensor._keras_history.operation


@contextlib.contextmanager
def after_loading(hook):
    """Calls `hook(model)` on every model that Keras loads inside the block.

    `keras.models.load_model` is imported under many names; all of them end in two
    functions of private modules. Keras 3.12 to 3.15.
    """
    places = [(saving_lib, "load_model"), (legacy_h5_format, "load_model_from_hdf5")]
    originals = [getattr(module, name) for module, name in places]

    def loading(load):
        def load_and_call(*args, **kwargs):
            model = load(*args, **kwargs)
            hook(model)
            return model

        return load_and_call

    for (module, name), load in zip(places, originals, strict=True):
        setattr(module, name, loading(load))
    try:
        yield
    finally:
        for (module, name), load in zip(places, originals, strict=True):
            setattr(module, name, load)


def set_input_shape(layer, shape):
    """Gives an unbuilt layer the shape from which a Sequential is built.

    The argument `input_shape` of layers, after their construction. Keras 3.12 to 3.15.
    """
    layer._input_shape_arg = shape
