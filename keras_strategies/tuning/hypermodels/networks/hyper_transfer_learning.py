"""Searchable transfer learning in two phases."""

import inspect
from collections.abc import Callable
from typing import Any, Unpack

import keras
import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning._space import ranges
from keras_strategies.tuning.hypermodels import _task
from keras_strategies.tuning.hypermodels._rewrite import Changes, rewrite
from keras_strategies.tuning.hypermodels._task import Task
from keras_strategies.tuning.hypermodels._tuned_fit import first_phase
from keras_strategies.tuning.hypermodels.networks._backbones import (
    check_backbone,
    preprocess,
    to_three_channels,
    unfreeze,
)
from keras_strategies.tuning.hypermodels.networks._network import (
    HyperNetwork,
    NetworkArguments,
)


class HyperTransferLearning(HyperNetwork):
    """Searches transfer learning: the backbone, the layers to train, and the training.

    Each trial trains in two phases. First the head alone, with the whole backbone
    frozen and the searched learning rate, so that the random head does not destroy the
    pretrained weights. Then the last layers of the backbone as well, with a smaller
    learning rate. The tuner observes the epochs of the second phase, which begins at
    epoch `head_epochs` (but has at least one epoch). If no layer is unfrozen there is
    one phase. Batch normalization of the backbone stays as it is in both.

    | name | values |
    |---|---|
    | `backbone` | MobileNetV2, EfficientNetV2B0 |
    | `unfreeze` | 0 to 0.5 of the layers that have weights, from the output |
    | `head_epochs` | 1 to 5 |
    | `fine_tune_factor` | 0.01 to 0.3, log scale: second learning rate over first |
    | `dropout` | 0 to 0.5, before the head |
    | `learning_rate` | 0.0001 to 0.01, log scale |
    | `batch_size` | 16 to 128 |

    Each range is one value, which is then fixed and not searched, or a pair
    `(low, high)` with both ends included.

    Reference:

    - [Yosinski et al., 2014, How transferable are features in deep neural
      networks?](https://arxiv.org/abs/1411.1792)
    - [Kumar et al., 2022, Fine-Tuning can Distort Pretrained
      Features](https://arxiv.org/abs/2202.10054)

    Args:
        input_shape: `(height, width, channels)`. Grey images are given to a network
            of `keras.applications` as three equal channels.
        classes: Number of classes, or of values for `task="regression"`, as in
            `HyperMLP`. Defaults to `None`.
        task: `"classification"`, `"binary"` or `"regression"`; sets head, loss and
            metric, as in `HyperMLP`. Defaults to `"classification"`.
        backbone: Names of networks in `keras.applications`; or one Keras model
            without its head, whose weights are kept; or a function
            `backbone(input_shape)` that returns one. Defaults to
            `("MobileNetV2", "EfficientNetV2B0")`.
        weights: Weights of named networks: `"imagenet"`, which Keras downloads once,
            the path of a file, or `None` for random ones. Defaults to `"imagenet"`.
        max_value: The largest pixel value of the data, such as 255 or 1: images for
            named networks are scaled and centred in the model as these were trained.
            Defaults to `255.0`.
        unfreeze: Fraction of the backbone's layers to train in the second phase, in
            [0, 1]. Defaults to `(0.0, 0.5)`.
        head_epochs: Epochs of the first phase, at least 0. Defaults to `(1, 5)`.
        fine_tune_factor: Learning rate of the second phase over that of the first,
            greater than 0. Defaults to `(0.01, 0.3)`.
        dropout: Dropped fraction before the head, in [0, 1). Defaults to
            `(0.0, 0.5)`.
        **kwargs: `batch_size` (default `(16, 128)`), `epochs`, `schedule`,
            `optimizer` (default `"adam"`), `learning_rate` (default
            `(1e-4, 1e-2)`), `loss`, `name` and `tunable`, as in `HyperMLP`. A
            schedule runs over all epochs and takes effect in the second phase.

    Raises:
        ValueError: If a range or a name cannot be used.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    import keras
    import keras_tuner
    import numpy as np
    from keras_strategies.tuning import HyperTransferLearning

    trained = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.Conv2D(4, 3, activation="relu"),
    ])
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32")
    y = (x.mean(axis=(1, 2, 3)) > 0).astype("int32")
    hyper = HyperTransferLearning(
        (8, 8, 1), classes=2, backbone=trained, head_epochs=1, unfreeze=0.5
    )
    tuner = keras_tuner.RandomSearch(
        hyper, objective="val_accuracy", max_trials=1, overwrite=True
    )
    tuner.search(x, y, validation_split=0.25, epochs=2, verbose=0)
    model = tuner.get_best_models()[0]
    ```
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        classes: int | None = None,
        task: Task = "classification",
        backbone: ranges.Names
        | keras.Model
        | Callable[[tuple[int, ...]], keras.Model] = (
            "MobileNetV2",
            "EfficientNetV2B0",
        ),
        weights: str | None = "imagenet",
        max_value: float = 255.0,
        unfreeze: ranges.FloatRange = (0.0, 0.5),
        head_epochs: ranges.IntRange = (1, 5),
        fine_tune_factor: ranges.FloatRange = (0.01, 0.3),
        dropout: ranges.FloatRange = (0.0, 0.5),
        **kwargs: Unpack[NetworkArguments],
    ) -> None:
        shape = _task.check_input_shape(input_shape, axes=3, fix="Pass (224, 224, 3).")
        self.backbone: Any = check_backbone(backbone)
        self.weights: str | None = weights
        self.max_value: float = checks.real(
            "max_value", max_value, low=0, low_open=True
        )
        self.unfreeze: tuple[float, float] = ranges.float_range(
            "unfreeze", unfreeze, low=0, high=1
        )
        self.head_epochs: tuple[int, int] = ranges.int_range(
            "head_epochs", head_epochs, low=0
        )
        self.fine_tune_factor: tuple[float, float] = ranges.positive_range(
            "fine_tune_factor", fine_tune_factor
        )
        self.dropout: tuple[float, float] = ranges.fraction_range("dropout", dropout)
        super().__init__(shape, classes, task, **kwargs)

    _model_name = "transfer_learning"

    def _sample_network(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        values: dict[str, Any] = {"backbone": None}
        if isinstance(self.backbone, tuple):
            values["backbone"] = ranges.sample_choice(hp, "backbone", self.backbone)
        return values | {
            "unfreeze": ranges.sample_float(hp, "unfreeze", self.unfreeze),
            "head_epochs": ranges.sample_int(hp, "head_epochs", self.head_epochs),
            "fine_tune_factor": ranges.sample_float(
                hp, "fine_tune_factor", self.fine_tune_factor, "log"
            ),
            "dropout": ranges.sample_float(hp, "dropout", self.dropout),
        }

    def _features(self, inputs: Any, values: dict[str, Any]) -> Any:
        x, name = inputs, values["backbone"]
        if name is not None:
            x = preprocess(to_three_channels(x) * (255.0 / self.max_value), name)
            backbone = getattr(keras.applications, name)(
                include_top=False, weights=self.weights, input_shape=x.shape[1:]
            )
        elif isinstance(self.backbone, keras.Model):
            backbone = rewrite(self.backbone, Changes(), keep_weights=True)
        else:
            backbone = self.backbone(self.input_shape)
            checks.instance("backbone", backbone, keras.Model)
        unfreeze(backbone, values["unfreeze"])
        x = backbone(x, training=False)
        if len(x.shape) == 4:
            x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.layers.Dropout(values["dropout"])(x)

    def _compile(
        self, model: keras.Model, values: dict[str, Any], head_only: bool = False
    ) -> None:
        learning_rate = values["learning_rate"]
        if learning_rate is None:
            learning_rate = _task.default_learning_rate(values["optimizer"])
        if values["unfreeze"] > 0 and not head_only:
            learning_rate *= values["fine_tune_factor"]
        super()._compile(model, {**values, "learning_rate": learning_rate})

    def _train(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        values = self._sample(hp if self.tunable else hp.copy())
        bound = inspect.signature(model.fit).bind(*args, **kwargs).arguments
        initial_epoch, epochs = bound.get("initial_epoch", 0), bound.get("epochs", 1)
        head_epochs = min(values["head_epochs"], epochs - 1)
        # A later round of Hyperband continues with weights that are fine-tuned already.
        if values["unfreeze"] == 0 or initial_epoch > 0 or head_epochs < 1:
            return model.fit(**bound)
        backbone = next(x for x in model.layers if isinstance(x, keras.Model))
        # Compiled anew for each phase: Keras traces the trainable weights once.
        unfreeze(backbone, 0)
        self._compile(model, values, head_only=True)
        model.fit(**first_phase(bound, head_epochs))
        unfreeze(backbone, values["unfreeze"])
        self._compile(model, values)
        return model.fit(**{**bound, "initial_epoch": head_epochs})
