"""The catalog: ready strategies by task."""

from typing import Literal

from keras_strategies._internal import checks
from keras_strategies.ablation._catalog import (
    architecture,
    augmentation,
    optimization,
    regularization,
)
from keras_strategies.ablation._strategy import Strategy


def catalog(
    task: Literal["image", "text", "tabular"] | None = None,
) -> dict[str, Strategy]:
    """Returns ready strategies by name, with what each does, why and its source.

    They take a compiled model as it is. Numbers that depend on the training, such as
    where a learning rate is cut, follow from its length; the others are the usual ones
    of the literature. One that cannot be applied to a model says why: the study lists
    it as not applicable.

    | kind | names |
    |---|---|
    | penalties | `l1`, `l2`, `weight_decay` |
    | noise and normalization | `dropout`, `batch_normalization`, `stochastic_depth` |
    | end of training | `early_stopping`, `ema`, `swa` |
    | labels and minima | `label_smoothing`, `sam` |
    | learning rate | `step_decay`, `exponential_decay`, `cosine_decay`, `warmup` |
    | | `one_cycle` |
    | gradients | `clip_norm`, `adaptive_clip` |
    | optimizer | `momentum`, `rmsprop`, `adagrad`, `adamw`, `radam` |
    | activation | `swish`, `gelu`, `snake` |
    | initial weights | `he_init`, `lecun_init`, `lsuv_init` |
    | batches | `small_batches`, `large_batches` |
    | images | `random_affine`, `random_color`, `trivial_augment`, `random_erasing` |
    | | `mixup`, `cutmix` |
    | texts | `eda` |

    A larger data set, the first strategy of all, is measured by `learning_curve`.

    Args:
        task: `"image"`, `"text"` or `"tabular"` for what suits such data; `None`, the
            default, for all.

    Returns:
        A new dict; take out what you do not want.

    Example:

    ```python
    from keras_strategies import ablation

    strategies = ablation.catalog("image")
    print(strategies["mixup"].why)  # mixes pairs of images and of their labels
    few = {name: strategies[name] for name in ("dropout", "adamw", "random_affine")}
    ```
    """
    checks.choice("task", task, (None, "image", "text", "tabular"))
    found = [
        *regularization.strategies(),
        *optimization.strategies(),
        *architecture.strategies(),
    ]
    if task in (None, "image"):
        found += augmentation.image_strategies()
    if task in (None, "text"):
        found += augmentation.text_strategies()
    return {strategy.name: strategy for strategy in found}
