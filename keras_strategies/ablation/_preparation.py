"""Everything that a study checks and makes before its first training."""

import dataclasses
import hashlib
import random
from collections.abc import Mapping
from concurrent.futures import Executor
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.metrics import metric_direction
from keras_strategies._internal.processes.executors import check_executor
from keras_strategies.ablation._designs import DESIGNS, hadamard
from keras_strategies.ablation._engine import SCREEN_REPLICATES
from keras_strategies.ablation._not_applicable import NotApplicable
from keras_strategies.ablation._runs import applying, scoring, splits
from keras_strategies.ablation._runs.log import Log
from keras_strategies.ablation._runs.samples import Samples, collect
from keras_strategies.ablation._runs.training import (
    Job,
    Setup,
    arm_name,
    fingerprint,
)
from keras_strategies.ablation._runs.training import (
    prepare as prepare_training,
)
from keras_strategies.ablation._strategy import Strategy

_RESERVED = arm_name(())


@dataclasses.dataclass
class Request:
    """The checked arguments of `study`."""

    build_fn: Any
    data: Any
    strategies: dict[str, Strategy]
    metric: str
    design: str
    seeds: int
    max_seeds: int
    epochs: int
    batch_size: int
    test_data: Any
    splits: Any
    executor: Executor | None
    directory: Any
    time_limit: float | None
    tolerance: float | None
    workers: int
    validation_split: float
    seed: int | None
    verbose: int
    save_weights: bool
    mode: str


@dataclasses.dataclass
class Prepared:
    """What a study works with.

    Attributes:
        setup: What all trainings share.
        direction: `"min"` or `"max"`.
        applicable: Names of the strategies that can be applied.
        not_applicable: Reasons of the others.
        most_trainings: Trainings if no strategy is decided early.
        warnings: What the user should know.
    """

    setup: Setup
    direction: str
    applicable: list[str]
    not_applicable: dict[str, str]
    most_trainings: int
    warnings: list[str]


def checked(**arguments: Any) -> Request:
    """Checks the arguments of `study` that can be checked without data."""
    arguments.pop("begin")
    a = dict(arguments)
    if not callable(a["build_fn"]) or isinstance(a["build_fn"], keras.Model):
        checks.fail(
            "`build_fn` must be a function that returns a compiled model",
            error=TypeError,
            build_fn=a["build_fn"],
        )
    a["strategies"] = named(a["strategies"])
    checks.instance("metric", a["metric"], str)
    checks.choice("design", a["design"], DESIGNS)
    _check_numbers(a)
    if a["executor"] is not None:
        a["executor"] = check_executor(a["executor"])
        if a["workers"] != 1:
            checks.fail(
                "`executor` and `workers` must not be given both", workers=a["workers"]
            )
    if a["save_weights"] and a["directory"] is None:
        checks.fail("`save_weights` needs a directory", directory=None)
    return Request(**a)


def _check_numbers(a):
    checks.integer("seeds", a["seeds"], low=3, high=1000)
    checks.integer(
        "max_seeds",
        a["max_seeds"],
        low=a["seeds"],
        high=1000,
        fix="It must be at least `seeds`.",
    )
    checks.integer("epochs", a["epochs"], low=1)
    checks.integer("batch_size", a["batch_size"], low=1)
    checks.integer("workers", a["workers"], low=1)
    checks.integer("seed", a["seed"], low=0, high=2**31 - 1, optional=True)
    checks.choice("verbose", a["verbose"], (0, 1, 2))
    checks.choice("mode", a["mode"], ("auto", "min", "max"))
    checks.boolean("save_weights", a["save_weights"])
    positive = {"low": 0, "low_open": True, "optional": True}
    checks.real("time_limit", a["time_limit"], **positive)
    checks.real("tolerance", a["tolerance"], **positive)
    checks.real(
        "validation_split",
        a["validation_split"],
        low=0,
        high=1,
        low_open=True,
        high_open=True,
    )


def named(strategies: Any) -> dict[str, Strategy]:
    """The strategies by name; the keys of a dict win over the names."""
    if isinstance(strategies, Mapping):
        pairs = list(strategies.items())
    elif isinstance(strategies, list | tuple):
        pairs = [(getattr(item, "name", None), item) for item in strategies]
    else:
        checks.fail(
            "`strategies` must be a dict or a list of Strategy",
            error=TypeError,
            strategies=type(strategies),
        )
    for name, strategy in pairs:
        checks.instance("strategies", strategy, Strategy)
        checks.instance("name of a strategy", name, str)
        if name == _RESERVED or " + " in name or not name.strip():
            checks.fail(
                f"the name of a strategy must not be empty or {_RESERVED!r}, nor "
                "have ' + ' in it",
                name=name,
            )
    names = [name for name, _ in pairs]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        checks.fail(
            "`strategies` must have at least one strategy and each name once",
            names=names,
            twice=twice,
        )
    return {name: dataclasses.replace(item, name=name) for name, item in pairs}


def prepare(request: Request, log: Log) -> Prepared:
    """Splits the data, builds the baseline once, tries every strategy on it."""
    data = collect("data", request.data)
    test = None
    if request.test_data is not None:
        test = collect("test_data", request.test_data)
    seed = request.seed if request.seed is not None else log.stored_seed()
    if seed is None:
        seed = random.SystemRandom().randrange(2**31 - 1)
    settings = applying.current_settings()
    baseline = inspected(request.build_fn, data, request.metric, request.mode, settings)
    parts = splits.split(
        data,
        test,
        request.splits,
        validation_split=request.validation_split,
        runs=request.max_seeds + SCREEN_REPLICATES * (request.design == "screen"),
        seed=seed,
        stratify=baseline.is_classifier,
    )
    setup = Setup(
        request.build_fn,
        request.strategies,
        parts,
        baseline.metric,
        request.epochs,
        request.batch_size,
        seed,
        settings,
    )
    log.settings(_settings(request, setup, baseline.initial))
    reasons = {name: not_applicable(setup, name) for name in request.strategies}
    refused = {name: reason for name, reason in reasons.items() if reason is not None}
    applicable = [name for name in request.strategies if name not in refused]
    _check_together(request, setup, applicable)
    return Prepared(
        setup,
        baseline.direction,
        applicable,
        refused,
        _most_trainings(request, len(applicable)),
        _warnings(request, parts),
    )


class Baseline(NamedTuple):
    """What the untrained baseline tells.

    Attributes:
        metric: Name of the metric, without `val_`.
        direction: `"min"` or `"max"`.
        is_classifier: Whether targets are classes.
        initial: Fingerprint of its initial weights at seed 0.
    """

    metric: str
    direction: str
    is_classifier: bool
    initial: str


def inspected(
    build_fn: Any,
    data: Samples,
    metric: str | None,
    mode: str,
    settings: dict[str, Any],
) -> Baseline:
    """Builds the baseline and finds its metric; `None` is the first one."""
    with applying.clean_keras(settings):
        model = applying.built(build_fn, data, 0)
        initial = fingerprint(model)
        # Some rows are enough to see shapes, the metric's name and its direction.
        few = data.rows(np.arange(min(len(data), 32)))
        outputs = scoring.predictions(model, few.x)
        if metric is None:
            metric = scoring.metric_names(model, few.y, outputs)[:2][-1]
        metric = scoring.check_metric(metric, model, few.y, outputs)
        if mode == "auto":
            fix = "Give `mode` as 'min' or 'max'."
            mode = metric_direction(metric, model=model, fix=fix)
        return Baseline(metric, mode, is_classifier(model), initial)


def is_classifier(model: keras.Model) -> bool:
    """Whether targets are classes, by the loss."""
    names = []
    for loss in keras.tree.flatten(model.loss):
        named_ = getattr(loss, "name", None) or getattr(loss, "__name__", None) or loss
        names.append(str(named_).lower())
    return any("entropy" in name or name.endswith("hinge") for name in names)


def not_applicable(setup: Setup, name: str) -> str | None:
    """Tries a strategy; returns why it cannot be applied, or `None`."""
    strategy = setup.strategies[name]
    if strategy.changes == ("fit",):
        defaults = {"epochs": setup.epochs, "batch_size": setup.batch_size}
        if all(defaults.get(key) == value for key, value in strategy.fit.items()):
            values = ", ".join(f"{k}={v}" for k, v in strategy.fit.items())
            return f"the baseline has {values} already"
    try:
        with applying.clean_keras(setup.keras_settings):
            trial = prepare_training(setup, Job((name,), 0), setup.splits.of(0))
            if hasattr(trial.data, "__getitem__"):
                trial.data[0]
    except NotApplicable as error:
        return str(error)
    except Exception as error:
        # A strategy that cannot even be applied must not end the study of others.
        text = str(error).strip().splitlines() or [""]
        return f"it raises {type(error).__name__}: {text[0][:300]}"
    return None


def _check_together(request, setup, applicable):
    """Strategies that are trained together must not exclude each other."""
    if request.design not in ("leave_one_out", "factorial"):
        return
    for index, name in enumerate(applicable):
        for other in applicable[:index]:
            why = setup.strategies[name].excludes(setup.strategies[other])
            if why:
                checks.fail(
                    f"design={request.design!r} trains strategies together, which "
                    "must not exclude each other",
                    strategies=[other, name],
                    why=why,
                    fix="Leave one of them out, or use design='add_one'.",
                )


def _most_trainings(request, count):
    if request.design == "factorial":
        return request.max_seeds * 2**count
    if request.design == "screen" and count:
        survivors = max(3, -(-count // 4))
        rows = SCREEN_REPLICATES * len(hadamard(count))
        return rows + request.max_seeds * (survivors + 1)
    return request.max_seeds * (count + 1)


def _warnings(request, parts):
    lines = []
    if not parts.is_fixed:
        lines.append(
            "Every run has a split of its own; errors are corrected for training sets "
            "that overlap (Nadeau and Bengio)."
        )
    if request.max_seeds < 5:
        lines.append(
            f"With {request.max_seeds} seeds only large differences can be shown."
        )
    return lines


def _settings(request, setup, begun) -> dict[str, Any]:
    """What must not change while a study is in a folder."""
    return {
        "backend": keras.backend.backend(),
        "metric": setup.metric,
        "design": request.design,
        "seeds": request.seeds,
        "max_seeds": request.max_seeds,
        "epochs": request.epochs,
        "batch_size": request.batch_size,
        "validation_split": request.validation_split,
        "tolerance": request.tolerance,
        "seed": setup.seed,
        "strategies": {
            name: list(strategy.changes) for name, strategy in setup.strategies.items()
        },
        "data": data_digest(setup.splits.samples, setup.splits),
        "baseline": begun,
    }


def data_digest(samples: Samples, parts: splits.Splits) -> str:
    """A hash of all data and of how they are split."""
    digest = hashlib.blake2b(digest_size=16)
    for part in samples.parts:
        for leaf in keras.tree.flatten(part) if part is not None else ():
            digest.update(str((leaf.shape, leaf.dtype)).encode())
            if leaf.dtype.kind == "O":
                digest.update(repr(leaf.tolist()).encode())
            else:
                digest.update(np.ascontiguousarray(leaf).tobytes())
    for part in parts.parts:
        for rows in part:
            digest.update(rows.astype("int64").tobytes())
    return digest.hexdigest()
