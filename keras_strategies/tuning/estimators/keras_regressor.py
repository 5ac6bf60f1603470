"""Keras model as a scikit-learn regressor."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.tuning._private import bases
from keras_strategies.tuning.estimators._estimator import Estimator


class KerasRegressor(Estimator, bases.SKLearnRegressor):
    """A Keras model as a scikit-learn regressor with flat, searchable parameters.

    Like `KerasClassifier` for numbers: the same parameters, prefixes and attributes;
    the score is R². Predictions have the shape of the targets.

    Args:
        model: A function that returns a Keras model, or a Keras model. Defaults to
            `None`, for `build_fn`.
        build_fn: The same under its former name. Defaults to `None`.
        optimizer: Name, class or instance of an optimizer. Defaults to `None`: that of
            the model, or rmsprop if it is not compiled.
        loss: Loss. Defaults to `None`: that of the model, or mean squared error if it
            is not compiled.
        metrics: Metrics for `history_`: one, a list, or a dict by output. Defaults to
            `None`, those of the model.
        batch_size: Number of examples in a step, -1 for all at once. Defaults to
            `None`, Keras's 32.
        validation_batch_size: The same for validation data. Defaults to `None`, as
            `batch_size`.
        epochs: Number of epochs. Defaults to `1`.
        verbose: As in `model.fit`. Defaults to `0`.
        callbacks: Callbacks, which each fit copies, or classes of them, as in
            `KerasClassifier`. Defaults to `None`.
        validation_split: Fraction of the data that `fit` validates on, for callbacks.
            Defaults to `0.0`.
        shuffle: Whether to shuffle before each epoch. Defaults to `True`.
        run_eagerly: Whether the model runs step by step in Python. Defaults to `False`:
            as it was compiled.
        warm_start: Whether `fit` continues with the model of the last fit. Defaults to
            `False`.
        random_state: Integer (or `RandomState`) that seeds weights and training, or
            `None`. Defaults to `None`.
        **kwargs: Parameters with a prefix, and arguments of the function.

    Attributes:
        model_: The fitted Keras model.
        history_: A dict of lists, one value for each epoch.
        target_shape_: Shape of one target.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If a parameter is unknown.
        TypeError: If `model` is no model and no function.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.tuning import KerasRegressor

    def create_model(X, units=8):
        return keras.Sequential([
            keras.Input(X.shape[1:]),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(1),
        ])

    x = np.random.default_rng(0).normal(size=(64, 3))
    model = KerasRegressor(create_model, loss="mse", model__units=4, epochs=2)
    model.fit(x, x.sum(axis=1))
    print(model.predict(x[:5]).shape)  # (5,)
    ```
    """

    target_shape_: tuple[int, ...]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def predict(self, X: Any, **kwargs: Any) -> np.ndarray:
        """Returns the predicted values, in the shape of `y` in `fit`.

        Args:
            X: Samples, as in `fit`.
            **kwargs: Further arguments of `model.predict`.
        """
        outputs = np.asarray(self._outputs(X, kwargs))
        return outputs.reshape(len(outputs), *self.target_shape_)

    def _learned(self) -> Mapping[str, Any]:
        return {"target_shape_": self.target_shape_}

    def _check_targets(
        self, y: Any, earlier: Mapping[str, Any] | None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        from sklearn.utils import check_array

        y = check_array(y, ensure_2d=False, allow_nd=True, input_name="y")
        if earlier and y.shape[1:] != earlier["target_shape_"]:
            checks.fail(
                f"Targets must have the shape {earlier['target_shape_']}, as in `fit`",
                shape=y.shape[1:],
            )
        return y, {"target_shape_": y.shape[1:]}

    def _encode(
        self, y: np.ndarray, learned: Mapping[str, Any], model: keras.Model, width: int
    ) -> np.ndarray:
        y = y.astype("float32")
        targets = y.shape[1] if y.ndim > 1 else 1
        if y.ndim <= 2 and targets != width:
            # Keras would broadcast one against the other and call it a loss.
            checks.fail(
                "The model must have an output for each target",
                outputs=width,
                targets=targets,
            )
        return y[:, None] if y.ndim == 1 and width == 1 else y

    def _default_loss(self, width: int) -> str:
        return "mean_squared_error"
