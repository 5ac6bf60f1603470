"""The fastest way to train a model, found by measuring."""

import time

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.launches import (
    are_arrays,
    build_for,
    check_step,
    is_dataset,
    is_distributed,
)
from keras_strategies.training import _measure
from keras_strategies.training._candidates import ALL, BLOCKS_HELD, BY_NAME, PLAIN
from keras_strategies.training._fingerprint import fingerprint
from keras_strategies.training._snapshot import unchanged
from keras_strategies.training._sources import Dataset, Sample, given_arrays
from keras_strategies.training._xla import blocking_rows
from keras_strategies.training.execution_plan import ExecutionPlan, installed_plan


def accelerate(
    model,
    x,
    y=None,
    sample_weight=None,
    batch_size=32,
    *,
    budget_seconds=20,
    candidates="auto",
    memory_limit=2**30,
    seed=None,
):
    """Finds the fastest way to train `model` on these data and makes `fit` use it.

    On a CPU, `fit` spends most of a small model's step outside the mathematics, and no
    fixed choice is right: a whole epoch in one XLA program trains a dense network ten
    times faster and a convolutional one many times slower. So it is measured. The
    candidates are the TensorFlow graph or XLA, each with one step in a launch (one call
    of a compiled function), a block of steps, or an epoch whose data lie on the device:

    ```
    plain                       as the model was compiled
    graph-step   xla-step       Keras's own loop, one step a launch
    graph-block  xla-block      up to 64 steps a launch, the next block made meanwhile
    graph-epoch  xla-epoch      the epoch's steps in one launch, shuffled on the device
    ```

    Model, optimizer, metrics and random states are as before afterwards. The fastest is
    installed if it is at least 3 % faster than plain `fit`. After it, plain
    `model.fit`, `evaluate` and `predict` use it, with all callbacks: batch hooks are
    called once a launch, as with Keras's `steps_per_execution`. With `shuffle=False`
    the weights are those of plain `fit` but for rounding. Data larger than
    `memory_limit` go to the device in blocks. On JAX everything is compiled by XLA; on
    Torch there is no graph, and the plan says so and is plain `fit`.

    A `tf.data.Dataset` or a `PyDataset` is read ahead in blocks of up to 64 batches,
    the next one while the steps of one run. It is iterated over while it is measured,
    a part of it each time: a seeded order of `Dataset.shuffle` goes on from there.

    The plan is dropped, with a warning, when the model is compiled again and when
    `fit` is given data of another structure, shape or batch size.

    Args:
        model: Built and compiled model.
        x: Inputs, as for `fit`: an array, a list or dict of arrays, or a
            `tf.data.Dataset` or `keras.utils.PyDataset` of batches.
        y: Targets, as for `fit`. None with a dataset.
        sample_weight: Sample weights, as for `fit`. None with a dataset.
        batch_size: Rows of a batch. Defaults to `32`, as in `fit`. A dataset has its
            own.
        budget_seconds: Seconds that measuring may take, greater than 0. Plain `fit` is
            measured in any case; a candidate that would exceed the budget, as far as
            the ones before it tell, is left out. Defaults to `20`.
        candidates: `"auto"`, or a list of names from above. A single name is installed
            without measuring. Defaults to `"auto"`.
        memory_limit: Bytes that data may take on the device. Defaults to `2**30`.
        seed: Seed of the orders in which rows are shuffled; each `fit` then has the
            same ones. Defaults to `None`: drawn at each `fit` from Python's generator,
            which `keras.utils.set_random_seed` sets.

    Returns:
        The `ExecutionPlan`, installed.

    Raises:
        ValueError: If the model is not built or not compiled, runs eagerly or is
            distributed, if data (of a dataset: the first batch) do not match the model
            or hold NaN or infinity, or if an argument is out of its range. The model
            is then as before.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    x, y = np.random.normal(size=(256, 8)), np.random.normal(size=(256, 1))
    plan = training.accelerate(model, x, y, budget_seconds=3)
    print(plan.explain())
    model.fit(x, y, epochs=3, verbose=0)
    ```
    """
    begin = time.perf_counter()
    checks.real("budget_seconds", budget_seconds, low=0, low_open=True)
    checks.integer("batch_size", batch_size, low=1)
    checks.integer("memory_limit", memory_limit, low=1)
    checks.integer("seed", seed, low=0, high=2**31 - 1, optional=True)
    names = _names(candidates)
    _check_model(model)
    data = _checked_data(model, x, y, sample_weight, batch_size)
    needed = BLOCKS_HELD * data.batch_bytes
    if memory_limit < needed:
        checks.fail(
            f"`memory_limit` must hold {BLOCKS_HELD} batches, {needed} bytes here",
            memory_limit=memory_limit,
        )
    possible, notes = _possible(model, names, data)
    settings = {
        "data": data.description,
        "batch_size": data.batch_size,
        "memory_limit": memory_limit,
        "seed": seed,
    }
    if installed_plan(model) is not None:
        installed_plan(model).remove()
    with unchanged(model):
        build_for(model, data.head)
    with unchanged(model) as put_back:
        sample = Sample((x, y, sample_weight), data)
        left = budget_seconds - (time.perf_counter() - begin)
        found = _measure.measure(model, possible, sample, settings, left, put_back)
    details = {
        **settings,
        "model": fingerprint(model),
        "backend": keras.backend.backend(),
        "notes": notes + found.notes,
    }
    plan = ExecutionPlan(found.choices, found.measurements, details)
    return plan._install(model, found.installation)


def _names(candidates):
    if candidates == "auto":
        return [candidate.name for candidate in ALL]
    checks.instance("candidates", candidates, (list, tuple))
    if not candidates:
        checks.fail("`candidates` must name one at least", candidates=candidates)
    for name in candidates:
        checks.choice("candidates", name, tuple(BY_NAME))
    return list(candidates)


def _possible(model, names, data):
    """The candidates that backend, layers and data allow, and why not others."""
    backend, notes = keras.backend.backend(), []
    allowed = [BY_NAME[name] for name in names]
    if backend == "torch":
        allowed = [item for item in allowed if item == PLAIN] or [PLAIN]
        notes.append(
            "On Torch only graph-less candidates exist: every step is Python, there "
            "is nothing to launch at once. Plain `fit` is used."
        )
        return allowed, notes
    if data.nbytes is None:
        allowed = [item for item in allowed if item.launch != "epoch"]
        notes.append("A dataset is fed in blocks; it does not stay on the device.")
        if not data.is_fixed:
            allowed = [item for item in allowed if not item.is_launched]
            notes.append(
                "Its batches are of strings or of several shapes: only single steps "
                "were tried."
            )
    if backend == "jax":
        allowed = [item for item in allowed if item.compiler != "graph"]
        notes.append("On JAX every candidate is compiled by XLA.")
    elif blocking := blocking_rows(model):
        allowed = [item for item in allowed if item.compiler != "xla"]
        text = "; ".join(
            f"{row['layer']} ({row['type']}) {row['reason']}, instead: "
            f"{row['replacement']}"
            for row in blocking
        )
        notes.append(f"XLA was not tried, layers block it: {text}.")
    if not allowed:
        checks.fail(
            f"no candidate is possible here ({' '.join(notes)})", candidates=names
        )
    return allowed, notes


def _check_model(model):
    checks.instance("model", model, keras.Model)
    if not model.compiled:
        checks.fail(
            "`model` must be compiled", model=model.name, fix="Call `model.compile`."
        )
    if not model.built:
        checks.fail(
            "`model` must be built",
            model=model.name,
            fix="Give it an `Input`, or call it on a batch.",
        )
    if model.run_eagerly:
        checks.fail(
            "`model` must be compiled with run_eagerly=False",
            run_eagerly=True,
            fix="An eager model has no compiled step; compile it again without.",
        )
    if model.optimizer is None:
        checks.fail("`model` must have an optimizer", optimizer=None)
    if is_distributed(model):
        checks.fail(
            "`model` must run on one device",
            model=model.name,
            fix="Plans for distributed training do not exist.",
        )


def _checked_data(model, x, y, sample_weight, batch_size):
    """`Arrays` or a `Dataset`, after a symbolic step of the model on it."""
    if is_dataset(x):
        data = _opened(x, y, sample_weight)
        arrays = data.head
    else:
        if not are_arrays(x, y, sample_weight):
            checks.fail(
                "`x`, `y` and `sample_weight` must be arrays or nests of arrays; only "
                "`x` may also be a `tf.data.Dataset` or a `PyDataset`",
                error=TypeError,
                x=type(x),
            )
        data = given_arrays(x, y, sample_weight, batch_size)
        if data is None:
            checks.fail("`x` and `y` must be dense arrays", x=type(x))
        if not data.rows:
            checks.fail("`x` must have rows", rows=data.rows)
        arrays = data.arrays
    for number, leaf in enumerate(keras.tree.flatten(arrays)):
        if leaf is None or getattr(leaf.dtype, "kind", None) != "f":
            continue
        bad = int(leaf.size - np.isfinite(leaf).sum())
        if bad:
            checks.fail(
                "data must be finite; training on them gives NaN weights",
                array=number,
                values_that_are_not_finite=bad,
            )
    _check_match(model, data.head)
    return data


def _opened(x, y, sample_weight):
    """A `Dataset` whose first batch was read."""
    if y is not None or sample_weight is not None:
        checks.fail(
            "`y` and `sample_weight` must come out of the dataset",
            y=type(y),
            sample_weight=type(sample_weight),
        )
    data = Dataset(x)
    if data.specification is None:
        checks.fail("batches of the dataset must be dense", x=type(x))
    if not data.open():
        checks.fail("the dataset must have batches", x=type(x))
    return data


def _check_match(model, batch):
    """Raises if the model cannot take a step on such a batch."""
    try:
        check_step(model, batch)
    except Exception as error:
        shapes = keras.tree.map_structure(
            lambda leaf: None if leaf is None else str(leaf.shape), batch
        )
        text = str(error).strip().split("\n")[0]
        raise ValueError(
            checks.message("data must match the model", {"batch": shapes}, text)
        ) from error
