"""Features of scikit-learn as inputs of a Keras model."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import keras
import numpy as np

from keras_strategies._internal import checks

Inputs: TypeAlias = "np.ndarray | dict[str, np.ndarray]"


def as_inputs(X: Any) -> Inputs:
    """Returns features as arrays: checked, sparse matrices as dense ones.

    Keras takes sparse matrices on some backends and in few layers only, so that a
    model that works with one of two spellings of the same data would be the rule.

    Args:
        X: Array, data frame or sparse matrix, or a dict of arrays for a model with
            named inputs.
    """
    from sklearn.utils import check_array

    if _by_name(X):
        if not X:
            checks.fail("`X` must have an array for each input of the model", X=X)
        return {
            str(name): check_array(value, allow_nd=True, ensure_2d=False)
            for name, value in X.items()
        }
    array = check_array(X, allow_nd=True, accept_sparse=["csr", "csc", "coo"])
    return array.toarray() if hasattr(array, "toarray") else array


def _by_name(X):
    # One format of sparse matrices is a mapping too.
    return isinstance(X, Mapping) and not hasattr(X, "toarray")


def arrays(inputs: Inputs) -> list[np.ndarray]:
    """Returns the arrays of the inputs as a list."""
    return list(inputs.values()) if isinstance(inputs, dict) else [inputs]


def row_shapes(inputs: Inputs) -> Any:
    """Returns the shape of a sample, by name if the inputs have names."""
    if isinstance(inputs, dict):
        return {name: value.shape[1:] for name, value in inputs.items()}
    return inputs.shape[1:]


def batch_shapes(inputs: Inputs) -> Any:
    """Returns the shapes with a free first axis, as `model.build` takes them."""
    if isinstance(inputs, dict):
        return {name: (None, *value.shape[1:]) for name, value in inputs.items()}
    return (None, *inputs.shape[1:])


def check_same_shapes(inputs: Inputs, shapes: Any) -> None:
    """Raises unless samples have the shapes that a model was fitted with."""
    if row_shapes(inputs) != shapes:
        checks.fail(
            f"`X` must have samples of shape {shapes}, as in `fit`",
            shape=row_shapes(inputs),
        )


def remember(estimator: Any, X: Any) -> None:
    """Sets `n_features_in_` and, for a data frame, `feature_names_in_`."""
    if _by_name(X):
        estimator.n_features_in_ = len(X)
        return
    from sklearn.utils.validation import validate_data

    validate_data(estimator, X, reset=True, skip_check_array=True)


def check_names(estimator: Any, X: Any) -> None:
    """Raises if columns have other names or another number than in `fit`."""
    if _by_name(X):
        return
    from sklearn.utils.validation import validate_data

    validate_data(estimator, X, reset=False, skip_check_array=True)


def single_output(outputs: Any) -> Any:
    """Returns the one output of a model that returns it alone, in a list or a dict."""
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, (list, tuple)):
        if len(outputs) != 1:
            _refuse_outputs(len(outputs))
        return outputs[0]
    return outputs


def build(model: keras.Model, inputs: Inputs) -> None:
    """Builds a model for inputs like these."""
    if isinstance(model, keras.Sequential):
        model.build(batch_shapes(inputs))
    else:  # a subclass of Model, whose `build` need not know its layers
        model(_symbolic(inputs))


def _symbolic(inputs):
    return keras.tree.map_structure(
        lambda x: keras.KerasTensor((None, *x.shape[1:]), keras.backend.floatx()),
        inputs,
    )


def output_width(model: Any, inputs: Inputs) -> int:
    """Returns the size of the last axis of a model's one output."""
    try:
        shape = model.compute_output_shape(batch_shapes(inputs))
    except NotImplementedError:  # a subclass of Model that has `call` alone
        outputs = model.compute_output_spec(_symbolic(inputs))
        shape = keras.tree.map_structure(lambda output: output.shape, outputs)
    if isinstance(shape, dict):
        shape = list(shape.values())
    if shape and not isinstance(shape[0], int) and shape[0] is not None:
        if len(shape) != 1:
            _refuse_outputs(len(shape))
        shape = shape[0]
    return shape[-1]


def _refuse_outputs(count):
    checks.fail(
        "An estimator of scikit-learn must have a model with one output",
        fix="Take keras.Model(model.inputs, model.outputs[0]), or an estimator for "
        "each output.",
        outputs=count,
    )


def as_outputs(model: Any, targets: np.ndarray) -> Any:
    """Returns targets in the structure of a model's one output."""
    structure = getattr(model, "output", None)
    if isinstance(structure, dict):
        return dict.fromkeys(structure, targets)
    return targets


def check_targets_are_there(estimator: Any, y: Any) -> None:
    """Raises if there are no targets, in scikit-learn's words."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but "
            "the target y is None."
        )


def check_same_length(inputs: Inputs, y: Any, sample_weight: Any = None) -> None:
    """Raises unless there is a target, and a weight, for each sample."""
    from sklearn.utils import check_consistent_length

    check_consistent_length(*arrays(inputs), y, sample_weight)


def use_all_samples(settings: dict[str, Any], inputs: Inputs) -> None:
    """Makes of a batch size of -1 the number of samples."""
    for name in ("batch_size", "validation_batch_size"):
        if settings.get(name) == -1:
            settings[name] = len(arrays(inputs)[0])


def sample_weights(sample_weight: Any) -> np.ndarray | None:
    """Returns weights as floats, one for each sample."""
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight, "float32")
    if weights.ndim != 1:
        checks.fail(
            "`sample_weight` must have one axis, one weight for each sample",
            shape=weights.shape,
        )
    if not weights.any():
        checks.fail(
            "`sample_weight` must have a weight that is not zero", samples=len(weights)
        )
    return weights
