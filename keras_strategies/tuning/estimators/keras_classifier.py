"""Keras model as a scikit-learn classifier."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.tuning._private import bases
from keras_strategies.tuning.estimators._estimator import Estimator, probabilities
from keras_strategies.tuning.hypermodels._compiling import loss_name


class KerasClassifier(Estimator, bases.SKLearnClassifier):
    """A Keras model as a scikit-learn classifier with flat, searchable parameters.

    For `GridSearchCV`, `RandomizedSearchCV`, `HalvingGridSearchCV`, pipelines and
    cross-validation. Code written for the former `keras.wrappers.scikit_learn` runs
    with this class. It is a `keras.wrappers.SKLearnClassifier` and adds to it:
    parameters by name that `clone` copies, `predict_proba`, `sample_weight`, images and
    other samples of several axes, and metadata routing.

    In addition to its own arguments it takes parameters with a prefix for their
    receiver, in the constructor, in `set_params` and in the grid of a search:

    | parameter | goes to |
    |---|---|
    | `model__units` | the function that builds the model |
    | `optimizer__learning_rate` | the optimizer of the model |
    | `fit__epochs` | `model.fit` |
    | `predict__batch_size` | `model.predict` |

    An argument of the building function may also be given without a prefix, as long
    as the constructor has no argument of that name. A function that takes
    `optimizer`, `loss` or `metrics` gets those of the constructor, if they are given;
    otherwise they replace what the model was compiled with. The function also gets
    the data if it has arguments named `X` and `y`.

    Labels may be any values. They are encoded as the loss requires it: 0 and 1 for one
    output, integers for a loss with "sparse" in its name, else one-hot rows. Each `fit`
    builds a new model (or clones `model`, with new weights) unless `warm_start=True`.

    Args:
        model: A function that returns a Keras model, or a Keras model. Defaults to
            `None`, for `build_fn`.
        build_fn: The same under its former name. Defaults to `None`.
        optimizer: Name, class or instance of an optimizer. Defaults to `None`: that of
            the model, or rmsprop if it is not compiled.
        loss: Loss. Defaults to `None`: that of the model; if it is not compiled,
            binary or sparse categorical cross-entropy by its outputs.
        metrics: Metrics for `history_`. Defaults to `None`, those of the model.
        batch_size: Number of examples in a step. Defaults to `None`, Keras's 32.
        epochs: Number of epochs. Defaults to `1`.
        verbose: As in `model.fit`. Defaults to `0`.
        callbacks: List of callbacks, which each fit copies. Defaults to `None`.
        validation_split: Fraction of the data that `fit` validates on, for callbacks.
            Defaults to `0.0`.
        shuffle: Whether to shuffle before each epoch. Defaults to `True`.
        class_weight: A dict from label to weight, `"balanced"`, or `None`. Defaults to
            `None`.
        warm_start: Whether `fit` continues with the model of the last fit. Defaults to
            `False`.
        random_state: Integer (or `RandomState`) that seeds weights and training, or
            `None`. Defaults to `None`.
        **kwargs: Parameters with a prefix, and arguments of the function.

    Attributes:
        model_: The fitted Keras model.
        history_: A dict of lists, one value for each epoch.
        classes_: The labels, sorted; the columns of `predict_proba`.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If a parameter is unknown.
        TypeError: If `model` is no model and no function.

    Example:

    ```python
    import keras
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV
    from keras_strategies.tuning import KerasClassifier

    def create_model(units=16):
        model = keras.Sequential([
            keras.Input((64,)),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ])
        model.compile("adam", "sparse_categorical_crossentropy")
        return model

    x, y = load_digits(return_X_y=True)
    search = GridSearchCV(
        KerasClassifier(create_model, batch_size=64, random_state=0),
        {"model__units": [8, 32], "optimizer__learning_rate": [0.01]},
        cv=2,
    )
    search.fit(x[:200] / 16, y[:200])
    print(search.best_params_)
    ```
    """

    classes_: np.ndarray

    def __init__(
        self,
        model: keras.Model | Callable[..., keras.Model] | None = None,
        *,
        build_fn: Callable[..., keras.Model] | None = None,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = 0,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        class_weight: Mapping[Any, float] | str | None = None,
        warm_start: bool = False,
        random_state: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            model=model,
            build_fn=build_fn,
            optimizer=optimizer,
            loss=loss,
            metrics=metrics,
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            shuffle=shuffle,
            warm_start=warm_start,
            random_state=random_state,
            **kwargs,
        )
        self.class_weight: Mapping[Any, float] | str | None = class_weight

    def predict_proba(self, X: Any) -> np.ndarray:
        """Returns the probability of each class, columns in the order of `classes_`.

        Args:
            X: Samples, as in `fit`.
        """
        return probabilities(self._outputs(X), self.model_)

    def predict(self, X: Any) -> np.ndarray:
        """Returns the most probable label of each sample.

        Args:
            X: Samples, as in `fit`.
        """
        return self.classes_[np.argmax(self.predict_proba(X), axis=-1)]

    def decision_function(self, X: Any) -> np.ndarray:
        """Returns the probabilities; with two classes only those of the second.

        Args:
            X: Samples, as in `fit`.
        """
        columns = self.predict_proba(X)
        return columns[:, 1] if len(self.classes_) == 2 else columns

    def _check_targets(self, y: Any) -> tuple[np.ndarray, dict[str, Any]]:
        from sklearn.utils.multiclass import type_of_target

        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass"):
            checks.fail(
                "`y` must be one label a sample",
                fix="For one-hot rows pass y.argmax(axis=1); for numbers use "
                "KerasRegressor.",
                y=kind,
            )
        classes = np.unique(y)
        if len(classes) < 2:
            checks.fail("`y` must have two classes or more", classes=classes.tolist())
        if self.warm_start and hasattr(self, "model_"):
            if not np.isin(classes, self.classes_).all():
                checks.fail(
                    "With warm_start=True `y` must have the classes of the first fit",
                    classes=classes.tolist(),
                )
            classes = self.classes_
        return y, {"classes_": classes}

    def _encode(
        self, y: np.ndarray, learned: Mapping[str, Any], model: keras.Model, width: int
    ) -> np.ndarray:
        codes = np.searchsorted(learned["classes_"], y)
        count = len(learned["classes_"])
        if width < count and not (width == 1 and count == 2):
            checks.fail(
                "The model must have an output for each class, or one for two classes",
                outputs=width,
                classes=count,
            )
        if width == 1:
            return codes.astype("float32")[:, None]
        if "sparse" in loss_name(model):
            return codes
        return np.eye(width, dtype="float32")[codes]

    def _default_loss(self, width: int) -> str:
        return f"{'binary' if width == 1 else 'sparse_categorical'}_crossentropy"

    def _weights(
        self, y: np.ndarray, learned: Mapping[str, Any], sample_weight: Any
    ) -> np.ndarray | None:
        weights = super()._weights(y, learned, sample_weight)
        if self.class_weight is None:
            return weights
        from sklearn.utils import compute_sample_weight

        by_class = compute_sample_weight(self.class_weight, y).astype("float32")
        return by_class if weights is None else weights * by_class
