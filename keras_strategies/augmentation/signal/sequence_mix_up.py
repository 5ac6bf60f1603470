"""Mixtures of two signals and their labels."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.random_layer import Draws, RandomLayer
from keras_strategies.augmentation._common.mixing import (
    check_labels,
    mix,
    permutation,
    symmetric_beta,
)


@serializable
class SequenceMixUp(RandomLayer):
    """Mixes each signal with another one of the batch, and their labels.

    Makes a classifier linear between examples, less sure and more robust. For raw
    signals, spectrograms, and embeddings of texts; Keras's `MixUp` takes images only.

    ```
    y = a x_i + (1 - a) x_j,    a ~ Beta(alpha, alpha)
    label = a label_i + (1 - a) label_j
    ```

    with a partner `j` for each `i`, each signal the partner of one. Signals of several
    lengths that are padded alike are mixed with their padding.

    References: Zhang et al., 2018, [mixup: Beyond Empirical Risk
    Minimization](https://arxiv.org/abs/1710.09412); Guo et al., 2019, [Augmenting Data
    with Mixup for Sentence Classification](https://arxiv.org/abs/1905.08941).

    Works in a model, called directly, and in `tf.data` pipelines on every backend, on
    batches. Active in training only.

    Args:
        alpha: Parameter of the distribution, above 0: below 1 mostly one of the two,
            at 1 uniform. Defaults to `0.2`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: A dict with the keys `signals` and `labels`, or signals alone.
        training: Whether to mix. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(batch, time, channels)`, labels `(batch, classes)`.

    Output shape:
        The same.

    Raises:
        ValueError: If `alpha` is outside its range, a single signal is given, or labels
            are class numbers, which cannot be mixed.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation.signal import SequenceMixUp

    batch = {"signals": np.random.rand(4, 50, 2), "labels": np.eye(4)}
    mixed = SequenceMixUp(0.4)(batch)
    ```
    """

    _NEEDS_BATCH = True

    def __init__(
        self, alpha: float = 0.2, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(seed=seed, **kwargs)
        self.alpha: float = checks.real("alpha", alpha, low=0, low_open=True)

    def _augment_with_labels(
        self, batch: Tensor, labels: Any, draws: Draws, ops: Any
    ) -> tuple[Tensor, Any]:
        uniform = draws.uniform((ops.shape(batch)[0], 4))
        weights = symmetric_beta(uniform[:, :3], self.alpha, ops)
        partners = permutation(uniform[:, 3], ops)
        if labels is not None:
            check_labels(labels)
            labels = mix(ops.cast(labels, self.compute_dtype), partners, weights, ops)
        return mix(batch, partners, weights, ops), labels

    def get_config(self) -> Config:
        return {**super().get_config(), "alpha": self.alpha}
