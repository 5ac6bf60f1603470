"""Training, validation, test and confirmation parts of the data.

The test part decides, so it chooses nothing else: best epochs are chosen on the
validation part. A third of the test part is set aside first and is looked at only
once, by `StudyResult.best`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.ablation._runs.samples import Samples, joined

_TEST_PART = 0.3
_CONFIRMED_BY = 1 / 3
_FEWEST = 2


class Part(NamedTuple):
    """Positions of the samples of one run."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclasses.dataclass(frozen=True)
class Splits:
    """The parts of every run.

    Attributes:
        samples: All data, those of `test_data` behind the others.
        parts: One part, for all runs, or one for each run.
        confirmation: Positions of the samples for `best`.
        overlap: Size of a test part by that of a training part, if each run has its
            own, else 0.
    """

    samples: Samples
    parts: Sequence[Part]
    confirmation: np.ndarray
    overlap: float = 0.0

    def of(self, run: int) -> Part:
        return self.parts[run % len(self.parts)]

    @property
    def is_fixed(self) -> bool:
        """Whether all runs are tested on the same samples."""
        return len(self.parts) == 1


def split(
    data: Samples,
    test_data: Samples | None,
    splits: int | Sequence[Any] | None,
    *,
    validation_split: float,
    runs: int,
    seed: int,
    stratify: bool,
) -> Splits:
    """Makes the splits of a study; runs of one number have the same one."""
    rng = np.random.default_rng([seed, 0])
    if splits is not None:
        if test_data is not None:
            checks.fail(
                "`splits` and `test_data` must not be given both",
                splits=splits,
                fix="With `splits` each run has a test part of its own.",
            )
        classes = data.classes() if stratify else None
        return _resampled(data, classes, splits, validation_split, runs, rng)
    if test_data is None:
        samples = data
        classes = samples.classes() if stratify else None
        everything = np.arange(len(samples))
        rest, test = divide(everything, classes, _TEST_PART, rng, "test")
    else:
        check_like(data, test_data)
        samples = joined(data, test_data)
        classes = samples.classes() if stratify else None
        rest = np.arange(len(data))
        test = np.arange(len(data), len(samples))
        check_classes(rest, test, classes)
    test, confirmation = divide(test, classes, _CONFIRMED_BY, rng, "confirmation")
    training, validation = divide(rest, classes, validation_split, rng, "validation")
    return Splits(samples, [Part(training, validation, test)], confirmation)


def _resampled(data, classes, splits, validation_split, runs, rng):
    """A split for each run: folds drawn anew in each round, or given ones."""
    everything = np.arange(len(data))
    # As many samples are set aside for the confirmation as without folds.
    part = _TEST_PART * _CONFIRMED_BY
    rest, confirmation = divide(everything, classes, part, rng, "confirmation")
    if isinstance(splits, int) and not isinstance(splits, bool):
        checks.integer("splits", splits, low=2)
        pairs = _folds(rest, classes, splits, runs, rng)
    else:
        pairs = _given(splits, rest, classes, len(data), runs)
    parts = []
    for outside, test in pairs:
        training, validation = divide(
            outside, classes, validation_split, rng, "validation"
        )
        parts.append(Part(training, validation, test))
    # Nadeau and Bengio's correction needs the ratio that the runs really have.
    overlap = np.mean([len(p.test) / len(p.training) for p in parts])
    return Splits(data, parts, confirmation, float(overlap))


def _folds(rows, classes, folds, runs, rng):
    pairs = []
    while len(pairs) < runs:
        remaining, tests = rows, []
        # 1/k of all, then 1/(k - 1) of what remains, and so on: parts of one size.
        for number in range(folds, 1, -1):
            remaining, test = divide(remaining, classes, 1 / number, rng, "test")
            tests.append(test)
        tests.append(remaining)
        pairs += [(np.setdiff1d(rows, test), test) for test in tests]
    return pairs[:runs]


def _given(splits, rest, classes, count, runs):
    try:
        pairs = [tuple(np.asarray(side) for side in pair) for pair in splits]
    except TypeError:
        pairs = []  # no pairs at all
    if len(pairs) < runs or any(len(pair) != 2 for pair in pairs):
        checks.fail(
            "`splits` must be a number of folds, or a pair of training and test "
            "positions for each of `max_seeds` runs",
            splits=len(pairs),
            max_seeds=runs,
        )
    checked = []
    for number, (training, test) in enumerate(pairs[:runs]):
        both = np.concatenate([training, test])
        if both.dtype.kind not in "iu" or both.min() < 0 or both.max() >= count:
            checks.fail("`splits` must hold positions of samples", samples=count)
        shared = np.intersect1d(training, test)
        if shared.size:
            checks.fail(
                "training and test positions in `splits` must not overlap",
                split=number,
                positions_in_both=shared[:5].tolist(),
            )
        training, test = (np.intersect1d(side, rest) for side in (training, test))
        if min(len(training), len(test)) < _FEWEST:
            checks.fail(
                "each pair in `splits` must leave samples for training and test",
                split=number,
                training=len(training),
                test=len(test),
            )
        if classes is not None:
            missing = np.setdiff1d(classes[test], classes[training])
            if missing.size:
                checks.fail(
                    "the training part of each pair in `splits` must have every class "
                    "of its test part",
                    split=number,
                    missing_classes=missing.tolist(),
                )
        checked.append((training, test))
    return checked


def divide(rows, classes, fraction, rng, name):
    """`(rest, part)`, shuffled once and stratified where there are classes."""
    rows = rng.permutation(rows)
    size = round(fraction * len(rows))
    if size < _FEWEST or len(rows) - size < _FEWEST:
        checks.fail(
            f"data must have enough samples for the {name} part",
            samples=len(rows),
            fraction=fraction,
        )
    if classes is None:
        return np.sort(rows[size:]), np.sort(rows[:size])
    chosen = _stratified(rows, classes, size, fraction, name)
    return np.sort(rows[~chosen]), np.sort(rows[chosen])


def _stratified(rows, classes, size, fraction, name):
    """Which rows are in the part: of each class the same share, at least one."""
    of_rows = classes[rows]
    present, counts = np.unique(of_rows, return_counts=True)
    exact = fraction * counts
    sizes = np.floor(exact).astype(int)
    # Largest remainders first, so that the total is right.
    for index in np.argsort(sizes - exact, kind="stable")[: max(0, size - sizes.sum())]:
        sizes[index] += 1
    sizes = np.maximum(sizes, 1)
    for number, count, taken in zip(present, counts, sizes, strict=True):
        if count - taken < 1:
            checks.fail(
                f"every class must be in the {name} part and in what remains",
                class_number=int(number),
                samples_of_this_class=int(count),
                fix="Give more samples of it, or join it with another class.",
            )
    chosen = np.zeros(len(rows), bool)
    for number, taken in zip(present, sizes, strict=True):
        chosen[np.flatnonzero(of_rows == number)[:taken]] = True
    return chosen


def check_like(data: Samples, test_data: Samples) -> None:
    """Refuses test data of another structure."""
    for name, mine, other in zip(
        ("x", "y"), data.parts[:2], test_data.parts[:2], strict=True
    ):
        shapes = [_shapes(nest) for nest in (mine, other)]
        if shapes[0] != shapes[1]:
            checks.fail(
                f"`test_data` must have {name} of the shape of `data`",
                data=shapes[0],
                test_data=shapes[1],
            )


def _shapes(nest):
    import keras

    leaves = keras.tree.flatten(nest)
    return [tuple(leaf.shape[1:]) for leaf in leaves]


def check_classes(
    rest: np.ndarray, test: np.ndarray, classes: np.ndarray | None
) -> None:
    """Refuses a class that is only in the data or only in the test data."""
    if classes is None:
        return
    for name, mine, other in (
        ("test_data", rest, test),
        ("data", test, rest),
    ):
        missing = np.setdiff1d(classes[mine], classes[other])
        if missing.size:
            checks.fail(
                f"`{name}` must have samples of every class",
                missing_classes=missing.tolist(),
            )
