"""Keras model as a scikit-learn classifier."""

from collections.abc import Callable, Mapping
from typing import Any, Self

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.tuning._private import bases
from keras_strategies.tuning.estimators._estimator import Estimator
from keras_strategies.tuning.estimators._probabilities import log_odds, probabilities
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
    | `loss__label_smoothing` | the loss: a class, a name or an object |
    | `metrics__threshold` | the classes in `metrics` |
    | `metrics__0__threshold` | the class at that place in a list of them |
    | `compile__jit_compile` | `model.compile` |
    | `callbacks__patience` | the classes in `callbacks` |
    | `callbacks__stop__patience` | the class called `stop` in a dict of them |
    | `fit__epochs` | `model.fit` |
    | `predict__batch_size` | `model.predict` |

    An argument of the building function may also be given without a prefix, as long
    as the constructor has no argument of that name. A function that takes
    `optimizer`, `loss` or `metrics` gets those of the constructor, if they are given;
    otherwise they replace what the model was compiled with. The function also gets
    the data if it has arguments named `X` and `y`, and what functions written for
    SciKeras ask for: `meta` (a dict with `n_features_in_`, `n_classes_`, ...),
    `compile_kwargs` and `params`.

    Labels may be any values. They are encoded as the loss requires it: 0 and 1 for one
    output, integers for a loss with "sparse" in its name, else one-hot rows. Targets
    may be rows of zeros and ones too: with a loss named "categorical" they are one-hot
    and `predict` returns such rows; with another loss each column is a label of its
    own (multi-label), which `predict` sets where its probability is at least .5. Each
    `fit` builds a new model (or clones `model`, with new weights) unless
    `warm_start=True`.

    Args:
        model: A function that returns a Keras model, or a Keras model. Defaults to
            `None`, for `build_fn`.
        build_fn: The same under its former name. Defaults to `None`.
        optimizer: Name, class or instance of an optimizer. Defaults to `None`: that of
            the model, or rmsprop if it is not compiled.
        loss: Loss. Defaults to `None`: that of the model; if it is not compiled,
            binary or sparse categorical cross-entropy by its outputs.
        metrics: Metrics for `history_`: one, a list, or a dict by output. Defaults to
            `None`, those of the model.
        batch_size: Number of examples in a step, -1 for all at once. Defaults to
            `None`, Keras's 32.
        validation_batch_size: The same for validation data. Defaults to `None`, as
            `batch_size`.
        epochs: Number of epochs. Defaults to `1`.
        verbose: As in `model.fit`. Defaults to `0`.
        callbacks: Callback, list of callbacks, or dict of them by name; each fit copies
            them. Classes become objects with the parameters that begin with
            `callbacks__`. Defaults to `None`.
        validation_split: Fraction of the data that `fit` validates on, for callbacks.
            Defaults to `0.0`.
        shuffle: Whether to shuffle before each epoch. Defaults to `True`.
        run_eagerly: Whether the model runs step by step in Python. Defaults to `False`:
            as it was compiled.
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
        target_type_: `"binary"`, `"multiclass"` or `"multilabel-indicator"`.

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
        validation_batch_size: int | None = None,
        epochs: int = 1,
        verbose: int | str = 0,
        callbacks: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        run_eagerly: bool = False,
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
            validation_batch_size=validation_batch_size,
            epochs=epochs,
            verbose=verbose,
            callbacks=callbacks,
            validation_split=validation_split,
            shuffle=shuffle,
            run_eagerly=run_eagerly,
            warm_start=warm_start,
            random_state=random_state,
            **kwargs,
        )
        self.class_weight: Mapping[Any, float] | str | None = class_weight

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: Any = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Trains the model of the last fit for one epoch more, or a new one.

        Args:
            X: Samples, as in `fit`.
            y: Labels.
            classes: All labels that will come, needed by the first call if `y` has not
                all of them. Defaults to `None`: those of the last fit, or of `y`.
            sample_weight: One weight for each sample, or `None`. Defaults to `None`.
            **kwargs: Further arguments of `model.fit`.

        Returns:
            The estimator itself. `history_` has the epochs of all calls.
        """
        announced = None if classes is None else {"classes_": np.unique(classes)}
        return self._partial_fit(X, y, sample_weight, kwargs, announced)

    def predict_proba(self, X: Any, **kwargs: Any) -> np.ndarray:
        """Returns the probability of each class, columns in the order of `classes_`.

        Args:
            X: Samples, as in `fit`.
            **kwargs: Further arguments of `model.predict`.
        """
        outputs = self._outputs(X, kwargs)
        return probabilities(outputs, self.model_, self._labels_are_independent())

    def predict(self, X: Any, **kwargs: Any) -> np.ndarray:
        """Returns the most probable label of each sample, or rows of labels.

        Args:
            X: Samples, as in `fit`.
            **kwargs: Further arguments of `model.predict`.
        """
        columns = self.predict_proba(X, **kwargs)
        if self._labels_are_independent():
            return (columns >= 0.5).astype(int)
        best = np.argmax(columns, axis=-1)
        if self.target_type_ == "multilabel-indicator":
            return np.eye(len(self.classes_), dtype=int)[best]
        return self.classes_[best]

    def decision_function(self, X: Any) -> np.ndarray:
        """Returns log-odds, which are positive where a label is the more probable.

        With two classes they are those of the second; with more classes a column each,
        the largest for the class that `predict` returns.

        Args:
            X: Samples, as in `fit`.
        """
        columns = log_odds(self.predict_proba(X))
        two = len(self.classes_) == 2 and self.target_type_ != "multilabel-indicator"
        return columns[:, 1] if two else columns

    def _labels_are_independent(self):
        rows = self.target_type_ == "multilabel-indicator"
        return rows and "categorical" not in loss_name(self.model_)

    def _learned(self) -> Mapping[str, Any]:
        return {"classes_": self.classes_, "target_type_": self.target_type_}

    def _check_targets(
        self, y: Any, earlier: Mapping[str, Any] | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        from sklearn.utils.multiclass import type_of_target

        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            from sklearn.utils import column_or_1d

            y = column_or_1d(y, warn=True)
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass", "multilabel-indicator"):
            checks.fail(
                "Unknown label type: `y` must be one label a sample, or rows of zeros "
                "and ones",
                fix="For numbers use KerasRegressor.",
                y=kind,
            )
        is_rows = kind == "multilabel-indicator"
        before = (earlier or {}).get("target_type_")
        if before is not None and is_rows != (before == "multilabel-indicator"):
            checks.fail(
                "`y` must be labels or rows of zeros and ones, as in the first fit, in "
                "`validation_data` too",
                y=kind,
                first=before,
            )
        if is_rows:
            return self._check_rows(y, earlier)
        classes = np.unique(y)
        if earlier is not None:
            if not np.isin(classes, earlier["classes_"]).all():
                checks.fail(
                    "`y` must have the classes of the first fit and no others",
                    fix="The first partial_fit takes all of them: classes=[...].",
                    classes=classes.tolist(),
                )
            classes = earlier["classes_"]
            kind = earlier.get("target_type_") or type_of_target(classes)
        if len(classes) < 2:
            checks.fail(
                "`y` must have two classes or more, not 1 class",
                classes=classes.tolist(),
            )
        return y, {"classes_": classes, "target_type_": kind}

    def _check_rows(self, y, earlier):
        count = y.shape[1]
        if earlier is not None and len(earlier["classes_"]) != count:
            checks.fail(
                "`y` must have a column for each class of the first fit",
                columns=count,
                classes=earlier["classes_"].tolist(),
            )
        learned = {
            "classes_": np.arange(count),
            "target_type_": "multilabel-indicator",
        }
        return y, learned

    def _encode(
        self, y: np.ndarray, learned: Mapping[str, Any], model: keras.Model, width: int
    ) -> np.ndarray:
        count = len(learned["classes_"])
        rows = learned["target_type_"] == "multilabel-indicator"
        if width < count and not (width == 1 and count == 2 and not rows):
            checks.fail(
                "The model must have an output for each class, or one for two classes",
                fix="For one-hot rows pass y.argmax(axis=1)." if rows else "",
                outputs=width,
                classes=count,
            )
        if rows:
            return self._encode_rows(y, model, width)
        codes = np.searchsorted(learned["classes_"], y)
        if width == 1:
            return codes.astype("float32")[:, None]
        if "sparse" in loss_name(model):
            return codes
        return np.eye(width, dtype="float32")[codes]

    def _encode_rows(self, y, model, width):
        one_hot = (y.sum(axis=1) == 1).all()
        if "categorical" in loss_name(model) and not one_hot:
            checks.fail(
                "With a categorical loss each row of `y` must have exactly one 1",
                fix="For several labels a sample take sigmoid and binary_crossentropy.",
                loss=loss_name(model),
            )
        if "sparse" in loss_name(model):
            return y.argmax(axis=1)
        missing = np.zeros((len(y), width - y.shape[1]))
        return np.concatenate([y, missing], axis=1).astype("float32")

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
