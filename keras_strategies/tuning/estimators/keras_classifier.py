"""A Keras model as a scikit-learn classifier."""

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.tuning.estimators._estimator import Estimator, probabilities
from keras_strategies.tuning.hypermodels._compiling import loss_name


class KerasClassifier(Estimator, keras.wrappers.SKLearnClassifier):
    """A Keras model as a scikit-learn classifier with flat, searchable parameters.

    For `GridSearchCV`, `RandomizedSearchCV`, `HalvingGridSearchCV`, pipelines and
    cross-validation. A listing written for `keras.wrappers.scikit_learn` runs with
    this import. It is a `keras.wrappers.SKLearnClassifier`; what that one lacks is
    here: parameters by name that survive `clone`, `predict_proba`, `sample_weight`,
    images and other samples of several axes, and metadata routing.

    Besides its own arguments it takes parameters with a prefix, which say who gets
    them, in the constructor, in `set_params` and in the grid of a search:

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

    Labels may be any values. They reach the model as its loss wants them: 0 and 1
    for one output, integers for a loss with "sparse" in its name, else one-hot rows.
    Each `fit` builds a new model (or clones the given one, with new weights) unless
    `warm_start=True`.

    Args:
        model: A function that returns a Keras model, or a Keras model.
        build_fn: The same under its former name.
        optimizer: Name, class or instance of an optimizer. Default `None`: the
            model's own, or rmsprop if it is not compiled.
        loss: Loss. Default `None`: the model's own; if it is not compiled, binary or
            sparse categorical cross-entropy by its outputs.
        metrics: Metrics for `history_`. Default `None`: the model's own.
        batch_size: Examples per step. Default `None`, Keras's 32.
        epochs: Epochs. Default 1.
        verbose: As in `model.fit`. Default 0.
        callbacks: List of callbacks; each fit works on copies. Default `None`.
        validation_split: Fraction held out by `fit`, for callbacks. Default 0.
        shuffle: Whether to shuffle before each epoch. Default `True`.
        class_weight: A dict from label to weight, `"balanced"`, or `None` (default).
        warm_start: Whether `fit` goes on with the model of the last one. Default
            `False`.
        random_state: Integer (or `RandomState`) that seeds weights and training, or
            `None` (default).
        **kwargs: Parameters with a prefix and arguments of the function.

    Attributes:
        model_: The fitted Keras model.
        history_: A dict of lists, one value an epoch.
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

    def __init__(
        self,
        model=None,
        *,
        build_fn=None,
        optimizer=None,
        loss=None,
        metrics=None,
        batch_size=None,
        epochs=1,
        verbose=0,
        callbacks=None,
        validation_split=0.0,
        shuffle=True,
        class_weight=None,
        warm_start=False,
        random_state=None,
        **kwargs,
    ):
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
        self.class_weight = class_weight

    def predict_proba(self, X):
        """Probability of each class, `(samples, classes)`, columns as in `classes_`."""
        return probabilities(self._outputs(X), self.model_)

    def predict(self, X):
        """The most probable label of each sample."""
        return self.classes_[np.argmax(self.predict_proba(X), axis=-1)]

    def decision_function(self, X):
        """Probabilities; with two classes that of the second, one number a sample."""
        found = self.predict_proba(X)
        return found[:, 1] if len(self.classes_) == 2 else found

    def _check_targets(self, y):
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

    def _encode(self, y, learned, model, width):
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

    def _default_loss(self, width):
        return f"{'binary' if width == 1 else 'sparse_categorical'}_crossentropy"

    def _weights(self, y, learned, sample_weight):
        weights = super()._weights(y, learned, sample_weight)
        if self.class_weight is None:
            return weights
        from sklearn.utils import compute_sample_weight

        classed = compute_sample_weight(self.class_weight, y).astype("float32")
        return classed if weights is None else weights * classed
