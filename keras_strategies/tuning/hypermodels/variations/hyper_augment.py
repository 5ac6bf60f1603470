"""Search of the augmentation of images."""

from typing import Any

import keras

from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels.variations._tuned_model import (
    TunedModel,
    model_or_default,
)


class HyperAugment(TunedModel):
    """Searches how strongly images are augmented.

    Replaces KerasTuner's `HyperImageAugment`. Varies a small default network, or any
    compiled model with one image input (`model=`) without rewriting it: a
    `RandomAffine` (rotation, translation, shear, zoom and flips as one resample) is
    inserted before it, active in training only. Pixels from outside of the image have
    the value of the nearest one inside.

    | name | values |
    |---|---|
    | `rotation` | 0 to 0.1 of a full turn, either way |
    | `translation` | 0 to 0.2 of height and width |
    | `shear` | 0 to 0.2 |
    | `zoom` | 0 to 0.2 |
    | `flip` | none, horizontal |

    Args:
        input_shape: Shape of one example for the default network: `(features,)`
            gives two dense layers, `(height, width, channels)` two convolutions and
            a dense layer. `None` with `model`.
        classes: Number of classes, or of values for `task="regression"`. `None` with
            `model`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`, for the default
            network, as in `HyperMLP`. Defaults to `"classification"`.
        rotation: Range of the largest turn, as a fraction of a full one, in
            [0, 0.5]. Defaults to `(0.0, 0.1)`; `None` leaves rotation out, as in
            the following.
        translation: Range of the largest translation. Defaults to `(0.0, 0.2)`.
        shear: Range of the largest shear. Defaults to `(0.0, 0.2)`.
        zoom: Range of the largest zoom. Defaults to `(0.0, 0.2)`.
        flip: `"none"`, `"horizontal"`, `"vertical"`, `"horizontal_and_vertical"`, or
            several. Use `"none"` for digits and letters. Defaults to
            `("none", "horizontal")`.
        model: A compiled Keras model to vary instead of the default network.
            Defaults to `None`.
        **kwargs: Further arguments of `tune_model`; what is not named here is not
            searched.

    Raises:
        ValueError: If a range or a name cannot be used, or the model cannot be
            changed this way.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    import keras_tuner
    import numpy as np
    from keras_strategies.tuning import HyperAugment

    x = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32")
    y = (x.mean(axis=(1, 2, 3)) > 0).astype("int32")
    tuner = keras_tuner.RandomSearch(
        HyperAugment((8, 8, 1), classes=2),
        objective="val_accuracy",
        max_trials=1,
        overwrite=True,
    )
    tuner.search(x, y, validation_split=0.25, epochs=1, verbose=0)
    model = tuner.get_best_models()[0]
    ```
    """

    def __init__(
        self,
        input_shape: tuple[int, ...] | None = None,
        classes: int | None = None,
        task: Task = "classification",
        rotation: ranges.FloatRange | None = (0.0, 0.1),
        translation: ranges.FloatRange | None = (0.0, 0.2),
        shear: ranges.FloatRange | None = (0.0, 0.2),
        zoom: ranges.FloatRange | None = (0.0, 0.2),
        flip: ranges.Names | None = ("none", "horizontal"),
        model: keras.Model | None = None,
        **kwargs: Any,
    ) -> None:
        ranges = {
            "rotation": rotation,
            "translation": translation,
            "shear": shear,
            "zoom": zoom,
            "flip": flip,
        }
        model = model_or_default(model, input_shape, classes, task)
        super().__init__(
            model,
            augmentation={k: v for k, v in ranges.items() if v is not None},
            **kwargs,
        )
