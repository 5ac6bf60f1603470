"""Measured acceleration of training: from the data to an installed plan."""

import time
from collections.abc import Sequence
from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.step_blocks import build_for
from keras_strategies.training._blocks.block_size import BLOCKS_IN_MEMORY
from keras_strategies.training._candidates import candidate_names, possible_candidates
from keras_strategies.training._data.sample import MeasurementSample
from keras_strategies.training._data.validation import check_model, checked_data
from keras_strategies.training._fingerprint import fingerprint
from keras_strategies.training._measurement.measure import measure
from keras_strategies.training._model_state import preserve_state
from keras_strategies.training.execution_plan import ExecutionPlan, installed_plan


def accelerate(
    model: keras.Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int = 32,
    *,
    time_limit: float = 20,
    candidates: Sequence[str] | Literal["auto"] = "auto",
    memory_limit: int = 2**30,
    seed: int | None = None,
) -> ExecutionPlan:
    """Measures the fastest way to train `model` on these data and makes `fit` use it.

    On a CPU, `fit` spends most of a small model's step outside the computation, and no
    fixed choice is right: a whole epoch in one XLA program trains a dense network ten
    times faster and a convolutional one many times slower. So it is measured. The
    candidates are the TensorFlow graph or XLA, where one call of a compiled function
    runs one step, a block of steps, or an epoch whose data are on the device:

    ```
    plain                       as the model was compiled
    graph-step   xla-step       Keras's own loop, one step per call
    graph-block  xla-block      up to 64 steps per call, the next block is prefetched
    graph-epoch  xla-epoch      an epoch per call, shuffled on the device
    ```

    Model, optimizer, metrics and random states are restored afterwards. The fastest
    candidate is installed if it is at least 3 % faster than plain `fit`. Then
    `model.fit`, `evaluate` and `predict` use it. With `shuffle=False` the weights are
    those of plain `fit` except for rounding. Data larger than `memory_limit` are
    transferred in blocks; another number of rows needs no new program. On JAX
    everything is compiled by XLA. On Torch the plan is plain `fit`, unless you name
    `"inductor-step"`, Keras's step through `torch.compile`: on processors it takes 10
    to 30 s to compile, and helps wide networks only.

    Callbacks have what they have in plain `fit`, step by step. What schedulers set
    (`callbacks.StepValues`) is fed into the program, averages of weights move and
    gradients are measured in it, it ends where the loss is not finite, and batch hooks
    that read logs are called afterwards, once a step, with the logs of that step. A
    callback of yours says what it needs of the program by

    ```
    batch_logs = True                   its batch hooks only read `logs`
    values_for_steps(start, count)      what it assigns is known beforehand
    steps_until_hook(batch)             how many steps may be made before its next hook
    ```

    Without these its code decides: hooks that reach neither model nor clock, by no
    object that they use, and raise nothing are taken for readers of logs. Any other
    callback with batch hooks makes the program one step long, about as slow as plain
    `fit`, with a warning. So do batch hooks of a model with `steps_per_execution`,
    which runs as in plain `fit`.

    A class with a `fit` of its own is accelerated where that calls `super().fit`; one
    with a `make_train_function` of its own in single steps. Indices out of range raise
    in XLA as they do in a graph.

    A `tf.data.Dataset` or a `PyDataset` is prefetched in blocks of up to 64 batches
    while the steps of the block before run. Each measurement iterates over a part of
    it: a seeded order of `Dataset.shuffle` continues from there.

    The plan is dropped, with a warning, when the model is compiled again and when
    `fit` is given data of another structure, shape or batch size.

    Args:
        model: Built and compiled model.
        x: Inputs, as for `fit`: an array, a list or dict of arrays, or a
            `tf.data.Dataset` or `keras.utils.PyDataset` of batches.
        y: Targets, as for `fit`; not with a dataset. Defaults to `None`.
        sample_weight: Sample weights, as for `fit`; not with a dataset. Defaults to
            `None`.
        batch_size: Rows of a batch; a dataset has its own. Defaults to `32`, as in
            `fit`.
        time_limit: Seconds that measuring may take, greater than 0. Plain `fit` is
            measured in any case; a candidate that would exceed the limit, estimated
            from those before it, is skipped. Defaults to `20`.
        candidates: `"auto"`, or a list of names from above. A single name is installed
            without measuring. Defaults to `"auto"`.
        memory_limit: Bytes that data may take on the device. Defaults to `2**30`.
        seed: Seed of the orders in which rows are shuffled, the same for each `fit`.
            Defaults to `None`: drawn at each `fit` from Python's generator, which
            `keras.utils.set_random_seed` seeds.

    Returns:
        The `ExecutionPlan`, installed.

    Raises:
        ValueError: If the model is not built or not compiled, runs eagerly or is
            distributed, if data (of a dataset: the first batch) do not match the model,
            if NaN or infinity in them makes the loss so, or if an argument is out of
            its range. The model is then unchanged.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("adam", loss="mse")
    x, y = np.random.normal(size=(256, 8)), np.random.normal(size=(256, 1))
    plan = training.accelerate(model, x, y, time_limit=3)
    print(plan.explain())
    model.fit(x, y, epochs=3, verbose=0)
    ```
    """
    begin = time.perf_counter()
    checks.real("time_limit", time_limit, low=0, low_open=True)
    checks.integer("batch_size", batch_size, low=1)
    checks.integer("memory_limit", memory_limit, low=1)
    checks.integer("seed", seed, low=0, high=2**31 - 1, optional=True)
    names = candidate_names(candidates)
    check_model(model)
    # 1. The data.
    data = checked_data(model, x, y, sample_weight, batch_size)
    _check_memory(memory_limit, data)
    # 2. The candidates.
    possible, notes = possible_candidates(model, names, data)
    # 3. Their measurement.
    settings = {
        "data": data.description,
        "batch_size": data.batch_size,
        "memory_limit": memory_limit,
        "seed": seed,
    }
    if installed_plan(model) is not None:
        installed_plan(model).remove()
    # Built first, so that the state to preserve includes metrics and optimizer.
    with preserve_state(model):
        build_for(model, data.head)
    with preserve_state(model) as restore:
        sample = MeasurementSample((x, y, sample_weight), data)
        remaining = time_limit - (time.perf_counter() - begin)
        selection = measure(model, possible, sample, settings, remaining, restore)
    # 4. The plan.
    details = {
        **settings,
        "model": fingerprint(model),
        "backend": keras.backend.backend(),
        "notes": notes + selection.notes,
    }
    plan = ExecutionPlan(selection.choices, selection.measurements, details)
    # 5. Its installation, with what is compiled already.
    return plan._install(model, selection.interceptor)


def _check_memory(memory_limit, data):
    required = BLOCKS_IN_MEMORY * data.batch_bytes
    if memory_limit < required:
        checks.fail(
            f"`memory_limit` must hold {BLOCKS_IN_MEMORY} batches, {required} bytes "
            "here",
            memory_limit=memory_limit,
        )
