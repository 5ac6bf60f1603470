"""Rows, columns and cells of the matrix; what each cell must be.

A row is an optimizer or wrapper with its formula by hand, a column is a way of
training. A cell trains the same network by `fit` and by hand and compares all weights.
What must not be equal is in `EXPECTED`, with its reason: an error by its message, or a
defect of Keras, which the test would notice if it were mended.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_strategies import optimizers
from tests.composition import formulas, networks

BACKEND = networks.BACKEND


class Row(NamedTuple):
    """`make(options)` is an optimizer, `hand(options, names)` the same by hand."""

    name: str
    make: Callable[..., Any]
    hand: Callable[..., Any]
    rho: float = 0.0  # of sharpness-aware minimization
    adaptive: bool = False
    is_scaled: bool = False  # has loss scaling already


def _hand(rule, rate, options):
    return formulas.Optimizer(
        rule,
        rate,
        options.get("weight_decay"),
        options.get("gradient_accumulation_steps", 1),
    )


def _plain(name, rule, rate, cls=None, **arguments):
    def make(**options):
        found = cls or getattr(keras.optimizers, name.partition("(")[0])
        return found(rate, **{**arguments, **options})

    def hand(names, **options):
        decay = {"weight_decay": arguments.get("weight_decay")}
        return _hand(rule, rate, {**decay, **options})

    return Row(name, make, hand)


def _muon(**options):
    decay = options.get("weight_decay")
    return keras.optimizers.Muon(
        0.05, **{"weight_decay": None, "adam_weight_decay": decay, **options}
    )


def _muon_by_hand(names, **options):
    hand = _hand(formulas.muon, 0.05, options)
    hand.states = [{"is_embedding": "embeddings" in name} for name in names]
    hand.sums = [0.0] * len(names)
    return hand


def _sgd(**options):
    return keras.optimizers.SGD(0.05, momentum=0.9, **options)


def _transform(name, make, function=None, factors=None, accept=None):
    """A row of `GradientTransform` around SGD; `make()` is the transform.

    The functions by hand are made anew for each cell: some remember.
    """

    def hand(names, **options):
        return formulas.Transformed(
            _hand(formulas.sgd, 0.05, options),
            function and function(),
            factors and (lambda weights: factors(names)),
            accept,
        )

    def wrapped(**options):
        return optimizers.GradientTransform(_sgd(**options), [make()])

    return Row(f"GradientTransform({name})", wrapped, hand)


def _centralize(gradients, *_):
    return [
        g - g.mean(tuple(range(g.ndim - 1)), keepdims=True) if g.ndim > 1 else g
        for g in gradients
    ]


def _adaptive_clip(gradients, weights, _):
    def clipped(g, w):
        axes = tuple(range(g.ndim - 1)) or None
        norms = [np.sqrt((t**2).sum(axes, keepdims=True)) for t in (g, w)]
        limit = 0.1 * np.maximum(norms[1], 1e-3)
        return g * np.minimum(1.0, limit / np.maximum(norms[0], 1e-12))

    return [clipped(g, w) for g, w in zip(gradients, weights, strict=True)]


def _norm(gradients):
    return np.sqrt(sum((g**2).sum() for g in gradients))


def _percentile_clip():
    history = []

    def function(gradients, *_):
        norm = _norm(gradients)
        history.append(norm)
        limit = np.percentile(history[-3:], 50)
        return [g * min(1.0, limit / norm) for g in gradients]

    return function


def _noise():
    generator = keras.random.SeedGenerator(3)

    def function(gradients, weights, step):
        deviation = np.sqrt(0.01 / (1 + step) ** 0.55)
        # The numbers themselves are Keras's, drawn in the same order.
        dtype = keras.config.dtype_policy().variable_dtype
        draws = [
            keras.random.normal(g.shape, dtype=dtype, seed=generator) for g in gradients
        ]
        return [
            g + deviation * keras.ops.convert_to_numpy(draw).astype("float64")
            for g, draw in zip(gradients, draws, strict=True)
        ]

    return function


def _frozen(names):
    return [0.0 if "bias" in name else 1.0 for name in names]


def _multiplied(names):
    return [0.3 if "kernel" in name else 1.0 for name in names]


def _layerwise(names):
    groups = list(dict.fromkeys(name.partition("/")[0] for name in names))
    last = len(groups) - 1
    return [0.5 ** (last - groups.index(name.partition("/")[0])) for name in names]


TRANSFORMS = [
    _transform("Centralize", optimizers.Centralize, lambda: _centralize),
    _transform(
        "AdaptiveClip", lambda: optimizers.AdaptiveClip(0.1), lambda: _adaptive_clip
    ),
    _transform(
        "PercentileClip", lambda: optimizers.PercentileClip(50, 3), _percentile_clip
    ),
    _transform("AddNoise", lambda: optimizers.AddNoise(0.01, seed=3), _noise),
    _transform("ZeroNonFinite", optimizers.ZeroNonFinite),
    _transform(
        "SkipLargeUpdates",
        lambda: optimizers.SkipLargeUpdates(5.0),
        accept=lambda gradients: _norm(gradients) <= 5.0,
    ),
    _transform("Freeze", lambda: optimizers.Freeze("bias"), factors=_frozen),
    _transform(
        "LearningRateMultipliers",
        lambda: optimizers.LearningRateMultipliers({"kernel": 0.3}),
        factors=_multiplied,
    ),
    _transform(
        "LayerwiseDecay", lambda: optimizers.LayerwiseDecay(0.5), factors=_layerwise
    ),
]


def _multipliers(inner):
    transform = optimizers.LearningRateMultipliers({"kernel": 0.3})
    return optimizers.GradientTransform(inner, [optimizers.Centralize(), transform])


def _multipliers_by_hand(inner, names):
    return formulas.Transformed(inner, _centralize, lambda weights: _multiplied(names))


def _scaled(optimizer):
    return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0)


WRAPPERS = [
    Row(
        "Lookahead(RAdam)",
        lambda **o: optimizers.Lookahead(optimizers.RAdam(0.05, **o), 2),
        lambda names, **o: formulas.Lookahead(_hand(formulas.radam(), 0.05, o)),
    ),
    Row(
        "Lookahead(GradientTransform(SGD))",
        lambda **o: optimizers.Lookahead(_multipliers(_sgd(**o)), 2),
        lambda names, **o: formulas.Lookahead(
            _multipliers_by_hand(_hand(formulas.sgd, 0.05, o), names)
        ),
    ),
    Row(
        "GradientTransform(Lookahead(SGD))",
        lambda **o: _multipliers(optimizers.Lookahead(_sgd(**o), 2)),
        lambda names, **o: _multipliers_by_hand(
            formulas.Lookahead(_hand(formulas.sgd, 0.05, o)), names
        ),
    ),
    Row(
        "GradientTransform(Adam)",
        lambda **o: _multipliers(keras.optimizers.Adam(0.02, **o)),
        lambda names, **o: _multipliers_by_hand(_hand(formulas.adam, 0.02, o), names),
    ),
    Row(
        "LossScaleOptimizer(SGD)",
        lambda **o: _scaled(_sgd(**o)),
        lambda names, **o: _hand(formulas.sgd, 0.05, o),
        is_scaled=True,
    ),
    Row(
        "LossScaleOptimizer(Lookahead(GradientTransform(SGD)))",
        lambda **o: _scaled(optimizers.Lookahead(_multipliers(_sgd(**o)), 2)),
        lambda names, **o: formulas.Lookahead(
            _multipliers_by_hand(_hand(formulas.sgd, 0.05, o), names)
        ),
        is_scaled=True,
    ),
    Row(
        "GradientTransform(LossScaleOptimizer(SGD))",
        lambda **o: _multipliers(_scaled(_sgd(**o))),
        lambda names, **o: None,
    ),
    Row(
        "Lookahead(LossScaleOptimizer(SGD))",
        lambda **o: optimizers.Lookahead(_scaled(_sgd(**o))),
        lambda names, **o: None,
    ),
    Row("SharpnessAware", _sgd, lambda names, **o: _hand(formulas.sgd, 0.05, o), 0.05),
    Row(
        "SharpnessAware(adaptive)",
        _sgd,
        lambda names, **o: _hand(formulas.sgd, 0.05, o),
        0.5,
        True,
    ),
]

ROWS = [
    _plain("SGD", formulas.sgd, 0.05, momentum=0.9),
    _plain("RMSprop", formulas.rmsprop, 0.02),
    _plain("Adam", formulas.adam, 0.02),
    _plain("AdamW", formulas.adam, 0.02, weight_decay=0.004),
    _plain("Adadelta", formulas.adadelta, 1.0),
    _plain("Adagrad", formulas.adagrad, 0.05),
    _plain("Adamax", formulas.adamax, 0.02),
    _plain("Adafactor", formulas.adafactor, 0.05),
    _plain("Nadam", formulas.nadam, 0.02),
    _plain("Ftrl", formulas.ftrl, 0.1),
    _plain("Lion", formulas.lion, 0.01),
    _plain("Lamb", formulas.lamb, 0.02),
    Row("Muon", _muon, _muon_by_hand),
    _plain("ScheduleFreeAdamW", formulas.schedule_free, 0.02),
    _plain("RAdam", formulas.radam(b2=0.9), 0.05, optimizers.RAdam, beta_2=0.9),
    _plain(
        "RAdam(amsgrad)",
        formulas.radam(True, 0.9),
        0.05,
        optimizers.RAdam,
        beta_2=0.9,
        amsgrad=True,
    ),
    _plain(
        "AdaBelief",
        formulas.ada_belief(),
        0.02,
        optimizers.AdaBelief,
        epsilon=1e-8,
    ),
    _plain(
        "AdaBelief(amsgrad, rectify)",
        formulas.ada_belief(True, True, 0.9),
        0.02,
        optimizers.AdaBelief,
        epsilon=1e-8,
        beta_2=0.9,
        amsgrad=True,
        rectify=True,
    ),
    *TRANSFORMS,
    *WRAPPERS,
]


class Column(NamedTuple):
    name: str
    options: dict[str, Any] = {}  # noqa: RUF012  never changed
    compile: dict[str, Any] = {}  # noqa: RUF012
    policy: str = "float32"
    is_embedding: bool = False
    is_built: bool = True
    cls: type = keras.Sequential
    repeats: int = 1


_EMA = {"use_ema": True, "ema_momentum": 0.5}
COLUMNS = [
    Column("plain"),
    Column("embedding", is_embedding=True),
    Column("mixed_float16", policy="mixed_float16"),
    Column("float16", policy="float16"),
    Column("mixed_bfloat16", policy="mixed_bfloat16"),
    Column("bfloat16", policy="bfloat16"),
    Column("accumulation", {"gradient_accumulation_steps": 2}),
    Column("use_ema", _EMA),
    Column("use_ema, overwriting", {**_EMA, "ema_overwrite_frequency": 2}),
    Column("use_ema, accumulation", {**_EMA, "gradient_accumulation_steps": 2}),
    Column("weight decay", {"weight_decay": 0.1}),
    Column("unbuilt model", is_built=False),
    Column("0 steps a batch", cls=networks.Zero, repeats=0),
    Column("1 step a batch", cls=networks.Stepping),
    Column("2 steps a batch", cls=networks.Twice, repeats=2),
    Column("two optimizers", cls=networks.TwoOptimizers),
    Column("steps_per_execution", compile={"steps_per_execution": 3}),
    Column("XLA", compile={"jit_compile": True}),
]


def trained(row, column, run_eagerly=False):
    """The weights after `fit`."""
    keras.config.set_dtype_policy(column.policy)
    optimizer = row.make(**column.options)
    if column.policy == "mixed_float16" and not row.is_scaled:
        optimizer = _scaled(optimizer)
    network = networks.model(column.is_embedding, column.is_built, column.cls)
    if row.rho:
        network = optimizers.SharpnessAware(network, row.rho, row.adaptive)
    if column.cls is networks.TwoOptimizers:
        networks.fit_two_optimizers(network, optimizer, row.make(**column.options))
    else:
        settings = {"jit_compile": BACKEND == "jax", **column.compile}
        if run_eagerly:
            settings = {"jit_compile": False, "run_eagerly": True}
        network.compile(optimizer, loss="mse", **settings)
        networks.fit(network, column.is_embedding)
    return [w.astype("float64") for w in network.get_weights()]


def expected_weights(row, column):
    """The weights by hand."""
    variable_dtype = keras.dtype_policies.get(column.policy).variable_dtype
    weights = networks.start(column.is_embedding, variable_dtype)
    network = networks.by_hand_network(column.is_embedding)
    ema = (
        column.options.get("ema_momentum"),
        column.options.get("ema_overwrite_frequency"),
    )
    parts = [slice(None)]
    if column.cls is networks.TwoOptimizers:
        parts = [slice(0, 2), slice(2, 4)]
    hands = [
        formulas.Averaged(row.hand(network.names[part], **column.options), *ema)
        for part in parts
    ]
    for x, y in networks.batches(column.is_embedding):
        for _ in range(column.repeats):
            for part, hand in zip(parts, hands, strict=True):
                moved = _perturbed(row, network, weights, x, y)
                gradients = network.gradients(moved, x, y)
                weights[part] = hand.step(weights[part], gradients[part])
    return hands[0].at_the_end(weights)


def _perturbed(row, network, weights, x, y):
    if not row.rho:
        return weights
    gradients = network.gradients(weights, x, y)
    scales = [
        np.abs(w) + 0.01 if row.adaptive and w.ndim > 1 else np.ones_like(w)
        for w in weights
    ]
    products = [t * g for t, g in zip(scales, gradients, strict=True)]
    radius = row.rho / _norm(products)
    return [
        w + radius * t * p for w, t, p in zip(weights, scales, products, strict=True)
    ]


EPSILON = {"16": 2.0**-10, "b16": 2.0**-7}


def tolerance(column):
    """Four times the step of half types, 1e-5 of float32."""
    if "bfloat16" in column.policy:
        return 4 * EPSILON["b16"]
    return 4 * EPSILON["16"] if "float16" in column.policy else 1e-5


class NotEqual(NamedTuple):
    """Cells that are not equal to the training by hand, and why.

    `rows` and `columns` are regular expressions that match a whole name. `error` is
    one that the error's message has; without it, the weights differ. A cell that is
    not `runnable` does not exist on these backends.
    """

    mark: str
    rows: str
    columns: str
    backends: tuple[str, ...]
    error: str | None = None
    runnable: bool = True


ALL = ("tensorflow", "jax", "torch")
SQUARES = "RMSprop|Adam|AdamW|Adadelta|Adagrad|Adamax|Adafactor|Nadam|Ftrl|Lamb|Muon"
EXPECTED = [
    NotEqual(
        "E1",
        r"(GradientTransform|Lookahead)\(LossScaleOptimizer.*",
        ".*",
        ALL,
        "must not be a LossScaleOptimizer",
    ),
    NotEqual(
        "E2",
        "SharpnessAware.*",
        ". steps? a batch|two optimizers",
        ALL,
        "`train_step` of its own",
    ),
    NotEqual("E3", ".*", "steps_per_execution", ("torch",), "steps_per_execution"),
    NotEqual("-", ".*", "XLA", ("torch",), runnable=False),
    NotEqual("R", r"GradientTransform\(AddNoise\)", "XLA", ("tensorflow",)),
    NotEqual("K1", SQUARES, "embedding", ("tensorflow",)),
    NotEqual(
        "K2",
        "ScheduleFreeAdamW",
        "plain|embedding|accumulation|use_ema.*|weight decay|unbuilt model|"
        "[12] steps? a batch|two optimizers|steps_per_execution|XLA",
        ("tensorflow", "torch"),
    ),
    NotEqual(
        "K2",
        "ScheduleFreeAdamW",
        "mixed_float16|float16|mixed_bfloat16",
        ("tensorflow",),
    ),
    NotEqual("K4", "Nadam", "mixed_float16", ("jax",)),
    NotEqual("K3", "Adam|AdamW|Lamb|Muon|ScheduleFreeAdamW", "bfloat16", ALL),
    NotEqual("K3", "Nadam", "bfloat16", ("tensorflow", "jax")),
    NotEqual("K3", "Nadam", "bfloat16", ("torch",), "_foreach_div"),
]


def exception(row, column, backend):
    """What is expected of a cell that is not equal, or `None`."""
    for item in EXPECTED:
        matches = re.fullmatch(item.rows, row.name) and re.fullmatch(
            item.columns, column.name
        )
        if matches and backend in item.backends:
            return item
    return None


CELLS = [
    (row, column)
    for row in ROWS
    for column in COLUMNS
    if getattr(exception(row, column, BACKEND), "runnable", True)
]
