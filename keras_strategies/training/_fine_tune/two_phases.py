"""Fine-tuning in two phases: the head alone, then the backbone with it."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras

from keras_strategies._internal import checks, freezing
from keras_strategies._internal.select import Selector
from keras_strategies.training._fine_tune.data import (
    check_inputs,
    check_targets,
    checked_data,
)
from keras_strategies.training._fine_tune.fine_tune_result import FineTuneResult
from keras_strategies.training._fine_tune.plan import make_plan
from keras_strategies.training._fine_tune.run import Run, Settings

# Stages of gradual unfreezing; each has the training step traced once more.
_STAGES = 4


def fine_tune(
    model: keras.Model,
    data: Any,
    *,
    validation_data: Any = None,
    epochs: tuple[int, int] = (5, 10),
    backbone: Selector | None = None,
    unfreeze: float | Literal["all"] = "all",
    include: Selector | None = None,
    exclude: Selector | None = None,
    gradual: bool = False,
    layer_decay: float | None = None,
    learning_rate: float | tuple[float, float] | Literal["find"] = (1e-3, 1e-4),
    schedule: Literal["cosine", "constant"] = "cosine",
    warmup: float = 0.1,
    batch_norm: Literal["frozen", "adapt"] = "frozen",
    lora: int | None = None,
    lora_alpha: float | None = None,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    loss: Any = None,
    metrics: Sequence[Any] | None = None,
    batch_size: int = 32,
    cache_features: bool | Literal["auto"] = "auto",
    class_weight: Mapping[int, float] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    seed: int | None = None,
    verbose: int | str = "auto",
) -> FineTuneResult:
    """Fine-tunes a model on a pretrained backbone in two phases, in place.

    The first phase trains the head on a backbone of which nothing moves, so that the
    random head does not spoil it. The second trains the backbone as well, at a smaller
    rate. Both begin with a warm-up. What usually goes wrong without an error cannot:
    the model is compiled for each phase after its layers are set; BatchNormalization
    keeps the statistics it was pretrained with; a frozen backbone is called at
    inference, whatever it was called with; images that were scaled already, or never,
    are noticed; and that frozen variables did not move is checked after each phase.

    ```
    rate(w) = schedule(step) * layer_decay ** (group(w) + 1)    group 0 nearest output
    rate(w) = schedule(step)                                    in the head
    ```

    Groups are those of depth in the graph, at most 12. The first phase computes the
    features of the backbone once and trains the head on them where that is the same,
    which saves the forward pass of the backbone in all epochs but one.

    Reference:

    - [Yosinski et al., 2014, How transferable are features in deep neural networks?](
      https://arxiv.org/abs/1411.1792)
    - [Howard and Ruder, 2018, Universal Language Model Fine-tuning for Text
      Classification](https://arxiv.org/abs/1801.06146): gradual unfreezing and
      discriminative rates.
    - [Kumar et al., 2022, Fine-Tuning can Distort Pretrained Features](
      https://arxiv.org/abs/2202.10054)
    - [Hu et al., 2021, LoRA](https://arxiv.org/abs/2106.09685)

    Args:
        model: A built model, such as one of `attach_head`. If it is compiled, its loss
            and metrics are used.
        data: `(x, y)` or `(x, y, sample_weight)`, or a data set of such batches that
            can be read again and again.
        validation_data: Data to measure on, in the same form. Defaults to `None`.
        epochs: Epochs of the two phases, at least 0 each and not both. Defaults to
            `(5, 10)`.
        backbone: The layers of the backbone: a regular expression that is searched in
            their paths, a layer, a function of a layer, or a list of these. Defaults
            to `None`: the one model that is nested in the model.
        unfreeze: Part of the chosen layers that trains in the second phase, in [0, 1],
            those nearest to the output in the graph; or `"all"`. Defaults to `"all"`.
        include: Layers of the backbone to choose from, as for `backbone`. Defaults to
            `None`, all of them.
        exclude: Layers of those that stay frozen. Defaults to `None`.
        gradual: Whether these layers start to train one part after another, from the
            output to the input, over the first half of the second phase. Defaults to
            `False`.
        layer_decay: Factor of the learning rate from one group of layers to the one
            before it, in (0, 1]; 0.65 to 0.9 are common. Defaults to `None`, one rate.
        learning_rate: Peak rates of the two phases, greater than 0. One number is that
            of the first phase, the second has a tenth of it. `"find"` measures both by
            a range test (`callbacks.LearningRateFinder`), the second at most a tenth
            of the first. Defaults to `(1e-3, 1e-4)`.
        schedule: After the warm-up: `"cosine"`, down to 0, or `"constant"`. Defaults to
            `"cosine"`.
        warmup: Part of the steps of each phase in which the rate rises, in [0, 1).
            Defaults to `0.1`.
        batch_norm: `"frozen"`: BatchNormalization of the backbone does not move at all,
            as its statistics come from more data than there are here. `"adapt"`: in
            unfrozen layers it trains. Defaults to `"frozen"`.
        lora: Rank of low-rank adaptation, at least 1: in the second phase the chosen
            Dense, EinsumDense, Embedding and convolution layers get two thin matrices
            that train in place of their weights; afterwards the product is added to
            the weights and nothing of it is left. Defaults to `None`, none.
        lora_alpha: Scale of the product times the rank, greater than 0. Defaults to
            `None`, the rank.
        optimizer: Name of an optimizer or one to be copied for each phase, with another
            learning rate. Defaults to `"adam"`.
        loss: The loss. Defaults to `None`: that of a compiled model, else cross-entropy
            for softmax and sigmoid and the mean squared error for other outputs.
        metrics: The metrics. Defaults to `None`: those of a compiled model, else
            accuracy where the loss is a cross-entropy.
        batch_size: Batch size for arrays, at least 1. Defaults to `32`.
        cache_features: Whether the first phase computes the features once. `"auto"`:
            if it is exactly the same (arrays, no augmentation in the model in front of
            the backbone, no mask), fits in a quarter of the free memory and has two
            epochs or more. `True` also where the size is not known. Defaults to
            `"auto"`.
        class_weight: As for `fit`. Defaults to `None`.
        callbacks: Callbacks for both phases. Defaults to `None`.
        seed: Seed of the order of the samples, or `None` for none. Defaults to `None`.
        verbose: As for `fit`. Defaults to `"auto"`.

    Returns:
        A `FineTuneResult`. The model is trained and compiled; what was frozen last
        stays so, see `trainable_report`, until `unfreeze(model)`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, the model is not built, the labels
            do not fit the head, the images were scaled before, or no layer is chosen.
            The model is as before then.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    backbone = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(8, 3, activation="relu"),
        keras.layers.BatchNormalization(),
    ])
    model = training.attach_head(backbone, classes=2)
    x = np.random.default_rng(0).normal(size=(64, 8, 8, 1))
    y = (x.mean(axis=(1, 2, 3)) > 0).astype(int)
    result = training.fine_tune(model, (x, y), epochs=(2, 1), verbose=0)
    print(result)
    ```
    """
    data = checked_data("data", data)
    if validation_data is not None:
        validation_data = checked_data("validation_data", validation_data)
    checks.instance("model", model, keras.Model, fix="Give a Keras model.")
    freezing.check_built(model)
    settings = Settings(
        data=data,
        validation=validation_data,
        epochs=_checked_epochs(epochs),
        rates=_checked_rates(learning_rate),
        optimizer=_checked_optimizer(optimizer),
        schedule=checks.choice("schedule", schedule, ("cosine", "constant")),
        warmup=checks.real("warmup", warmup, low=0, high=1, high_open=True),
        loss=loss,
        metrics=None if metrics is None else list(metrics),
        batch_size=checks.integer("batch_size", batch_size, low=1),
        cache_features=checks.choice(
            "cache_features", cache_features, (True, False, "auto")
        ),
        class_weight=class_weight,
        callbacks=_checked_callbacks(callbacks),
        verbose=verbose,
        lora=checks.integer("lora", lora, low=1, optional=True),
        lora_alpha=checks.real(
            "lora_alpha", lora_alpha, low=0, low_open=True, optional=True
        ),
        seed=checks.integer("seed", seed, low=0, optional=True),
    )
    gradual = checks.boolean("gradual", gradual)
    stages = min(_STAGES, max(settings.epochs[1] // 2, 1)) if gradual else 1
    if unfreeze != "all":
        fix = 'Give a part of the layers or "all".'
        unfreeze = checks.real("unfreeze", unfreeze, low=0, high=1, fix=fix)
    plan = make_plan(
        model,
        backbone=backbone,
        unfreeze=unfreeze,
        include=include,
        exclude=exclude,
        batch_norm=checks.choice("batch_norm", batch_norm, ("frozen", "adapt")),
        stages=stages,
        layer_decay=checks.real(
            "layer_decay", layer_decay, low=0, high=1, low_open=True, optional=True
        ),
        rank=settings.lora if settings.epochs[1] else None,
    )
    return _run(model, plan, settings)


def _run(model, plan, settings):
    x, y = settings.data.first()
    check_targets(model, settings.data, y)
    problem = check_inputs(model, x)
    if problem:
        warnings.warn(f"fine_tune: {problem}.", stacklevel=3)
    run = Run(model, plan, settings, y)
    run.first()
    first_epochs = len(next(iter(run.history.values()), ()))
    run.second()
    return FineTuneResult(
        run.rows,
        run.history,
        first_epochs,
        run.notes,
        [problem] if problem else [],
    )


def _checked_epochs(epochs):
    if not isinstance(epochs, tuple | list) or len(epochs) != 2:
        checks.fail(
            "`epochs` must be a pair: epochs of the head alone, then of both",
            fix="For example (5, 10).",
            epochs=epochs,
        )
    pair = tuple(checks.integer("epochs", number, low=0) for number in epochs)
    if not any(pair):
        checks.fail("`epochs` must have an epoch", epochs=epochs)
    return pair


def _checked_rates(learning_rate):
    if isinstance(learning_rate, str):
        checks.choice("learning_rate", learning_rate, ("find",))
        return (None, None)
    if isinstance(learning_rate, tuple | list):
        if len(learning_rate) != 2:
            checks.fail(
                "`learning_rate` must be a number, a pair or 'find'",
                learning_rate=learning_rate,
            )
        return tuple(
            checks.real("learning_rate", rate, low=0, low_open=True)
            for rate in learning_rate
        )
    rate = checks.real("learning_rate", learning_rate, low=0, low_open=True)
    return (rate, 0.1 * rate)


def _checked_optimizer(optimizer):
    if isinstance(optimizer, str):
        optimizer = keras.optimizers.get(optimizer)
    checks.instance(
        "optimizer",
        optimizer,
        keras.optimizers.Optimizer,
        fix='Give an optimizer or its name, for example "adamw".',
    )
    # Rates by layer are put around it: two wrappers would scale twice.
    if hasattr(optimizer, "inner_optimizer") or hasattr(optimizer, "optimizers"):
        checks.fail(
            "`optimizer` must be a single optimizer, without another one inside",
            fix="Give the inner one; for rates by layer use `layer_decay`.",
            optimizer=optimizer.name,
        )
    return optimizer


def _checked_callbacks(callbacks):
    callbacks = [] if callbacks is None else list(callbacks)
    for callback in callbacks:
        checks.instance("callbacks", callback, keras.callbacks.Callback)
    return callbacks
