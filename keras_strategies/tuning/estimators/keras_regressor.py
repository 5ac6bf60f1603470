"""A Keras model as a scikit-learn regressor."""

import keras
import numpy as np

from keras_strategies.tuning.estimators._estimator import Estimator


class KerasRegressor(Estimator, keras.wrappers.SKLearnRegressor):
    """A Keras model as a scikit-learn regressor with flat, searchable parameters.

    `KerasClassifier` for numbers: the same parameters, prefixes and attributes, the
    score is R². Predictions have the shape of the targets.

    Args:
        model: A function that returns a Keras model, or a Keras model.
        build_fn: The same under its former name.
        optimizer: Name, class or instance of an optimizer. Default `None`: the
            model's own, or rmsprop if it is not compiled.
        loss: Loss. Default `None`: the model's own, or mean squared error if it is
            not compiled.
        metrics: Metrics for `history_`. Default `None`: the model's own.
        batch_size: Examples per step. Default `None`, Keras's 32.
        epochs: Epochs. Default 1.
        verbose: As in `model.fit`. Default 0.
        callbacks: List of callbacks; each fit works on copies. Default `None`.
        validation_split: Fraction held out by `fit`, for callbacks. Default 0.
        shuffle: Whether to shuffle before each epoch. Default `True`.
        warm_start: Whether `fit` goes on with the model of the last one. Default
            `False`.
        random_state: Integer (or `RandomState`) that seeds weights and training, or
            `None` (default).
        **kwargs: Parameters with a prefix and arguments of the function.

    Attributes:
        model_: The fitted Keras model.
        history_: A dict of lists, one value an epoch.
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

    def predict(self, X):
        """Predicted values, of the shape of `y` in `fit`."""
        outputs = np.asarray(self._outputs(X))
        return outputs.reshape(len(outputs), *self.target_shape_)

    def _check_targets(self, y):
        from sklearn.utils import check_array

        y = check_array(y, ensure_2d=False, allow_nd=True, input_name="y")
        return y, {"target_shape_": y.shape[1:]}

    def _encode(self, y, learned, model, width):
        y = y.astype("float32")
        return y[:, None] if y.ndim == 1 and width == 1 else y

    def _default_loss(self, width):
        return "mean_squared_error"
