"""Many trainings of one architecture in one call."""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.step_blocks import (
    are_arrays,
    is_dataset,
    is_distributed,
    split_validation,
)
from keras_strategies.training._data.arrays import (
    arrays_of_fit,
    first_rows,
    num_batches,
)
from keras_strategies.training._many import one_after_another, one_program
from keras_strategies.training._many.initial_draws import InitialDraws
from keras_strategies.training._many.many_result import ManyResult
from keras_strategies.training._many.variants import (
    Variant,
    check_applies,
    checked_variants,
)

Engine = Literal["auto", "one_after_another", "one_program"]
_ENGINES = ("auto", "one_after_another", "one_program")
# Steps in all from which one program pays for its compilation, longer than a step's.
_MIN_STEPS_OF_ONE_PROGRAM = 1000
# Batches of the epochs that the two engines are timed on.
_TIMED_BATCHES = 16
# The part of the time side by side that members are hoped to save one by one.
_HOPED_PART = 0.3


def fit_many(
    build_fn: Callable[[], keras.Model],
    variants: int | Sequence[Mapping[str, Any]],
    data: Any,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    validation_data: Any = None,
    validation_split: float = 0.0,
    callbacks: Callable[[dict[str, Any]], Sequence[Any]] | None = None,
    shuffle: bool = True,
    seed: int = 0,
    engine: Engine = "auto",
    verbose: int = 0,
) -> ManyResult:
    """Trains one architecture many times: other seeds, rates, dropout, factors.

    For the seeds of a comparison, the folds of a small search, a deep ensemble. `fit`
    in a loop builds, traces and compiles for each member anew; here one model is
    built, and members that differ in numbers share its program, which has them as
    variables. Each member is what

        keras.utils.set_random_seed(variant["seed"])
        model = build_fn()
        model.optimizer.learning_rate = variant["learning_rate"]
        model.fit(x, y, ...)

    gives, up to rounding, with its own history, early stopping and weights.

    - `"one_after_another"`: `model.fit` for each member. With enough steps in all
      (4,000) the fastest way to run them is measured once: on TensorFlow during the
      first epochs, among compiled epochs, on JAX as by `accelerate`. A plan shuffles
      rows in an order of its own.
    - `"one_program"`: on JAX all members as one compiled epoch, mapped over their
      states. Rows are shuffled by NumPy, for each member in the order of its seed. It
      pays where a step of one member does not use the device, as small models on an
      accelerator; on a CPU it may be slower.
    - `"auto"`: one program where it is possible and there are enough steps in all
      (1,000), else one after another. A program of one member is compiled as well, and
      used if it is measured to be faster, where the steps that remain may pay for it.

    Args:
        build_fn: Function without arguments that returns a built, compiled model.
        variants: A dict for each member, or the number of members. Keys: `"seed"`
            (defaults to `seed` plus the member's number), `"learning_rate"`,
            `"dropout"` (a rate in [0, 1) for every layer that has one, or a dict from
            layers to rates), `"l1"` and `"l2"` (factors of the regularizers that there
            are, or dicts), `"weight_decay"` (of the optimizer). Members share a program
            whatever their numbers, but a 0 is another program, and so is another rate
            of a layer that is no plain `Dropout` (of noise, of a recurrent layer), or
            another number where code of yours in the model may read it.
        data: `(x, y)` or `(x, y, sample_weight)` of arrays, or a `tf.data.Dataset`,
            `PyDataset` or `DataLoader` with an end. A data set that shuffles goes on
            from member to member with its own draws.
        epochs: Epochs of each member. Defaults to `1`.
        batch_size: Rows of a batch; a data set has its own. Defaults to `32`.
        validation_data: As for `fit`. Defaults to `None`.
        validation_split: Fraction of the rows at the end to validate on, in [0, 1),
            where there is no `validation_data`. Defaults to `0.0`.
        callbacks: Function from a member's settings, a dict with its seed, to a list
            of fresh callbacks. If they change more of the model than variables (freeze
            layers, compile), members are built and trained by themselves. Defaults to
            `None`.
        shuffle: Whether rows are shuffled in each epoch. Defaults to `True`.
        seed: Seed of the first member. Defaults to `0`.
        engine: How members are trained, see above. Defaults to `"auto"`.
        verbose: 1 for a progress bar over members, 0 for none. Defaults to `0`.

    Returns:
        A `ManyResult`: table, histories, `model(number)`, `best(metric)` and
        `ensemble()`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If a variant sets what the model does not have, or one program is
            asked for where it is not possible.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    def build():
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.01), loss="mse")
        return model

    x, y = np.random.normal(size=(64, 8)), np.random.normal(size=(64, 1))
    result = training.fit_many(build, [{"seed": 1}, {"learning_rate": 0.1}], (x, y))
    print(result)
    best = result.model(result.best("loss"))
    ```
    """
    checks.integer("epochs", epochs, low=1)
    checks.integer("batch_size", batch_size, low=1)
    checks.integer("seed", seed, low=0, high=2**31 - 1)
    checks.integer("verbose", verbose, low=0, high=1)
    checks.real("validation_split", validation_split, low=0, high=1, high_open=True)
    checks.choice("engine", engine, _ENGINES)
    members = checked_variants(variants, seed)
    own = [_callbacks(callbacks, member) for member in members]
    source = _Source(data, batch_size, validation_data, validation_split)
    draws = InitialDraws(build_fn, members[0].seed)
    _refuse_distribution(draws.model)
    check_applies(draws.model, members)
    start = one_after_another.Start(draws, source.head)
    steps = epochs * len(members) * source.batches
    groups = one_after_another.by_program(start, members)
    choice = _engine(engine, start, groups, own, source, shuffle, steps)
    fit = {
        "x": source.x,
        "y": source.y,
        "sample_weight": source.sample_weight,
        "batch_size": batch_size if source.is_array else None,
        "epochs": epochs,
        "validation_data": source.validation,
        "shuffle": shuffle,
        "verbose": 0,
    }
    try:
        trained = _trained(start, groups, own, source, fit, steps, choice, verbose)
    except one_program.ChangedModelError as reason:
        if engine == "one_program":
            _refuse_one_program(reason)
        # Callbacks that have seen an epoch are not used for another training.
        own = [_callbacks(callbacks, member) for member in members]
        choice = _Choice(
            "one_after_another", ["One after another, from new callbacks."]
        )
        trained = _trained(start, groups, own, source, fit, steps, choice, verbose)
    start.reset()
    return ManyResult(draws.model, trained, choice.engine, choice.notes + start.notes)


def _trained(start, groups, callbacks, source, fit, steps, choice, verbose):
    """The members, in the order of their numbers."""
    count = sum(len(group.members) for group in groups)
    bar = keras.utils.Progbar(count, unit_name="member") if verbose else None
    timed, program = choice.compiled
    trained: dict[int, Any] = {}
    for group in groups:
        calls = [callbacks[number] for number in group.members]
        compiled = program if group is timed else None
        if compiled is not None or choice.engine == "one_program":
            results = one_program.train(start, group, calls, source, fit, compiled)
            if bar is not None:
                bar.add(len(calls))
        else:
            results = one_after_another.train(
                start, group, calls, steps, source.is_array, fit, bar
            )
        trained.update(zip(group.members, results, strict=True))
    return [trained[number] for number in range(count)]


def _callbacks(make, variant: Variant) -> list[Any]:
    if make is None:
        return []
    if not callable(make) or isinstance(make, keras.callbacks.Callback):
        checks.fail(
            "`callbacks` must be a function that returns fresh callbacks",
            fix="Write `callbacks=lambda settings: [keras.callbacks.EarlyStopping()]`.",
            error=TypeError,
            callbacks=make,
        )
    made = make(variant.settings)
    if not isinstance(made, list | tuple):
        checks.fail(
            "`callbacks` must return a list of callbacks",
            fix="Return `[]` for a member without any.",
            error=TypeError,
            returned=made,
        )
    for callback in made:
        checks.instance("each of `callbacks`", callback, keras.callbacks.Callback)
    return list(made)


class _Source:
    """Data of a joint training, as `fit` takes them and as arrays if they are."""

    def __init__(self, data, batch_size, validation_data, validation_split):
        self.is_array = isinstance(data, tuple | list)
        if self.is_array:
            if not 1 <= len(data) <= 3 or not are_arrays(*data):
                checks.fail(
                    "`data` must be (x, y) or (x, y, sample_weight) of arrays, or a "
                    "data set",
                    data=type(data).__name__,
                    length=len(data),
                )
            self.x, self.y, self.sample_weight = (*data, None, None)[:3]
        else:
            _check_dataset(data)
            self.x, self.y, self.sample_weight = data, None, None
        self.validation = validation_data
        if validation_split and validation_data is None:  # as `fit` has it
            self._split(validation_split)
        self.batch_size = batch_size
        self.arrays, self.validation_arrays = None, None
        if self.is_array:
            self._pack()
        else:
            self.head, self.batches = _first_of(self.x), _length(self.x)

    def _split(self, fraction):
        if not self.is_array:
            checks.fail(
                "`validation_split` needs arrays",
                fix="Give `validation_data`.",
                data=type(self.x).__name__,
            )
        triple = (self.x, self.y, self.sample_weight)
        triple, self.validation = split_validation(*triple, fraction)
        self.x, self.y, self.sample_weight = triple

    def _pack(self):
        triple = (self.x, self.y, self.sample_weight)
        if not all(leaf.shape[0] for leaf in keras.tree.flatten(self.x)):
            checks.fail("`data` must have rows to train on", rows=0)
        packed = arrays_of_fit(*triple, self.batch_size)
        if packed is None:  # Sparse or ragged.
            self.head = first_rows(triple, self.batch_size)
            rows = keras.tree.flatten(self.x)[0].shape[0]
            self.batches = num_batches(rows, self.batch_size)
        else:
            self.arrays, self.head = packed.arrays, packed.head
            self.batches = packed.batches
        if isinstance(self.validation, tuple | list):
            triple = (*self.validation, None, None)[:3]
            packed = arrays_of_fit(*triple, self.batch_size)
            self.validation_arrays = None if packed is None else packed.arrays

    @property
    def has_arrays(self):
        """Whether all of it is arrays on the host."""
        return self.arrays is not None and (
            self.validation is None or self.validation_arrays is not None
        )


def _first_of(dataset):
    """The first batch of a data set, with `None` for what it does not have."""
    if isinstance(dataset, keras.utils.PyDataset):
        batch = dataset[0]
    else:
        batch = next(iter(dataset))
    batch = keras.tree.map_structure(np.asarray, batch)
    return keras.utils.unpack_x_y_sample_weight(batch)


def _check_dataset(data):
    """Refuses what cannot be read again for each member, or has no end."""
    is_torch = type(data).__module__.startswith("torch.utils.data")
    if not (is_dataset(data) or is_torch):
        checks.fail(
            "`data` must be (x, y) or (x, y, sample_weight) of arrays, a "
            "`tf.data.Dataset`, a `PyDataset` or a `DataLoader`, which each member "
            "reads from its beginning",
            error=TypeError,
            data=type(data).__name__,
            fix="Put what a generator yields into arrays or into a `PyDataset`.",
        )
    if isinstance(data, keras.utils.PyDataset):
        endless = data.num_batches is None
    else:
        endless = hasattr(data, "cardinality") and int(data.cardinality()) == -1
    if endless:
        checks.fail(
            "`data` must have an end",
            data=type(data).__name__,
            fix="Use `take` of the data set with the batches of an epoch.",
        )


def _length(dataset):
    """Batches of a data set, 1 where it does not say."""
    for name in ("num_batches", "cardinality"):
        if hasattr(dataset, name):
            value = getattr(dataset, name)
            number = value() if inspect.isroutine(value) else value
            return max(int(number or 1), 1)
    return 1


def _refuse_distribution(model):
    if is_distributed(model):
        checks.fail(
            "`fit_many` trains on one device",
            fix="Call it outside of the scope of a distribution, and give each device "
            "members of its own.",
            model=model.name,
        )


class _Choice(NamedTuple):
    """The engine, why, and `(group, program)` that its measurement has compiled."""

    engine: str
    notes: list[str]
    compiled: Any = (None, None)


def _engine(engine, start, groups, callbacks, source, shuffle, steps):
    why_not = one_program.obstacle(start, callbacks, source.has_arrays)
    if engine == "one_program" and why_not:
        _refuse_one_program(why_not)
    if engine != "auto":
        return _Choice(engine, [])
    if why_not:
        return _Choice("one_after_another", [f"One after another: {why_not}."])
    if start.is_slow_in_loops:
        note = "One after another: convolutions in a compiled loop are slow on a CPU."
        return _Choice("one_after_another", [note])
    group = max(groups, key=lambda group: len(group.members))
    count = len(group.members)
    if count < 2 or steps < _MIN_STEPS_OF_ONE_PROGRAM:
        return _Choice("one_after_another", ["One after another: few steps."])
    many, compilation, program = _seconds(start, group, source, shuffle)
    remaining = many * steps / (count * min(_TIMED_BATCHES, source.batches))
    if remaining * _HOPED_PART < compilation:
        note = f"One program: {remaining:.1f} s of steps pay for no other compilation."
        return _Choice("one_program", [note], (group, program))
    first = group._replace(variants=group.variants[:1])
    one, _, alone = _seconds(start, first, source, shuffle)
    ratio = count * one / many
    text = f"one program is {ratio:.2f} times as fast as {count} in a row"
    if ratio > 1:
        notes = [f"One program: measured, {text}."]
        return _Choice("one_program", notes, (group, program))
    notes = [f"One after another: measured, {text}."]
    return _Choice("one_after_another", notes, (group, alone))


def _refuse_one_program(reason):
    checks.fail(
        "`engine='one_program'` is not possible here",
        fix="Use `engine='auto'`.",
        reason=str(reason),
    )


def _seconds(start, group, source, shuffle):
    """`(seconds, seconds of compilation, program)` of a short epoch: the shortest."""
    active, times = np.ones(len(group.variants), bool), []
    with group.numbers.held(), start.constants.of(group.variants[0]):
        program = one_program.of_source(start, group, source, shuffle)
        for _ in range(4):
            begin = time.perf_counter()
            program.epoch(active, _TIMED_BATCHES)
            times.append(time.perf_counter() - begin)
    return min(times[1:]), times[0] - min(times[1:]), program
