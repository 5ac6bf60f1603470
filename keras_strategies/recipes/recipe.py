"""What a recipe returns."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """A compiled Keras model with the data and callbacks to train it.

    Everything in it is an ordinary Keras or `tf.data` object; change what you like,
    then train with `recipe.model.fit(**recipe.fit_arguments)`.

    Args:
        model: The compiled model. On TensorFlow it begins with its preprocessing, so
            that a saved model takes texts or columns of a table as they are.
        train: `tf.data.Dataset` of shuffled batches.
        validation: `tf.data.Dataset` of batches that are not trained on.
        callbacks: Callbacks for `fit`.
        epochs: Epochs for which the learning rate is planned.
        network: The part of the model behind its preprocessing, with the same
            weights; this is what `export.to_tflite` takes where files cannot hold
            the preprocessing. The model itself where there is none.
        preprocessing: `TextVectorization` or `FeatureSpace`, adapted to the training
            data; `None` where the network does it all. On JAX and Torch it is not
            part of the model: apply it to new data first. Defaults to `None`.

    Example:

    ```python
    import numpy as np
    from keras_strategies import recipes

    x = np.random.default_rng(0).integers(0, 256, (64, 8, 8), "uint8")
    recipe = recipes.image_classification(x, np.arange(64) % 2, epochs=1, filters=4)
    history = recipe.model.fit(**recipe.fit_arguments, verbose=0)
    ```
    """

    model: Any
    train: Any
    validation: Any
    callbacks: list[Any]
    epochs: int
    network: Any
    preprocessing: Any = None

    @property
    def fit_arguments(self) -> dict[str, Any]:
        """Arguments of `model.fit`."""
        return {
            "x": self.train,
            "validation_data": self.validation,
            "epochs": self.epochs,
            "callbacks": self.callbacks,
            "shuffle": False,  # the data set shuffles
        }
