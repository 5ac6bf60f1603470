"""One training: build, apply, fit, score."""

import dataclasses
import gc
import hashlib
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_strategies import compression
from keras_strategies._internal import checks
from keras_strategies._internal.storage import files
from keras_strategies.ablation._runs import applying, plans, scoring
from keras_strategies.ablation._runs.programs import Programs
from keras_strategies.ablation._runs.samples import Samples
from keras_strategies.ablation._runs.splits import Part, Splits
from keras_strategies.ablation._strategy import Strategy

_LARGEST_SEED = 2**31 - 1
# Parameters of the models since garbage was collected. Models are full of cycles:
# Python frees them late, which small ones do not notice.
_untidy = [0]
_TIDY_AT = 5_000_000
# Beyond every run of a race: runs of a confirmation, whose seeds no verdict has seen.
FIRST_CONFIRMATION = 1_000_000


class Job(NamedTuple):
    """One training of a study.

    Attributes:
        arm: Names of the strategies that are applied, in order.
        run: Number of the run; it decides seed, split and order of the data.
        rows: Positions of the training samples if not those of the split.
        confirm: Whether the confirmation part is scored too.
        plan: An execution plan as text, see `plans`.
        weights: File for the trained weights, or `None`.
    """

    arm: tuple[str, ...]
    run: int
    rows: tuple[int, ...] | None = None
    confirm: bool = False
    plan: str | None = None
    weights: str | None = None

    @property
    def key(self) -> tuple[str, int]:
        """What identifies its record."""
        return arm_name(self.arm), self.run


def arm_name(arm: tuple[str, ...]) -> str:
    return " + ".join(arm) if arm else "baseline"


@dataclasses.dataclass
class Setup:
    """What all trainings of a study share; other processes get it pickled.

    Attributes:
        build_fn: Function that returns the compiled baseline.
        strategies: The strategies by name.
        splits: Data and their parts.
        metric: Name of the metric, without `val_`.
        epochs: Epochs of a training.
        batch_size: Samples in a batch.
        seed: Seed of the study.
        keras_settings: Global settings of Keras in the user's process.
    """

    build_fn: Any
    strategies: Mapping[str, Strategy]
    splits: Splits
    metric: str
    epochs: int
    batch_size: int
    seed: int
    keras_settings: dict[str, Any]

    def seed_of(self, run: int) -> int:
        """The seed of a run, for every arm the same."""
        state = np.random.SeedSequence([self.seed, run]).generate_state(1)[0]
        return int(state) % _LARGEST_SEED

    def portable(self) -> "Setup":
        """The same without what only this process needs."""
        strategies = {
            name: dataclasses.replace(strategy, code=None)
            for name, strategy in self.strategies.items()
        }
        return dataclasses.replace(self, strategies=strategies)


def train(setup: Setup, job: Job, programs: Programs | None = None) -> dict[str, Any]:
    """Runs one training; returns its record, with the message if it failed.

    Args:
        setup: What all trainings share.
        job: The training.
        programs: Takes what was compiled, for the next training of the arm.
    """
    begin = time.perf_counter()
    programs = Programs() if programs is None else programs
    try:
        record = _train(setup, job, programs)
    except (Exception, SystemExit) as error:
        # Whatever a strategy raises is a result of the study, not its end.
        record = {"error": _message(error)}
    programs.ended(well="error" not in record)
    return {
        "arm": arm_name(job.arm),
        "run": job.run,
        **record,
        "total_seconds": round(time.perf_counter() - begin, 4),
    }


def _message(error):
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:300]}"


def _train(setup, job, programs):
    with applying.clean_keras(setup.keras_settings):
        part = setup.splits.of(job.run)
        if job.rows is not None:
            part = Part(np.asarray(job.rows), part.validation, part.test)
        trained = prepare(setup, job, part)
        if job.plan is not None:
            plans.install(trained.model, job.plan)
        else:
            trained = programs.shared(arm_name(job.arm), trained)
        with programs.fitting():
            history, seconds = trained.fit()
        model = trained.model
        record = {
            "seconds": round(seconds, 4),
            "initial": trained.initial,
            "history": _curves(history, setup.metric),
            "parameters": int(model.count_params()),
            "macs": _macs(model),
        }
        if job.weights is not None:
            _save_weights(model, job.weights)
        judge = programs.judge(setup)
        _check_new(model, judge)
        record.update(_scored(setup, judge, model, part.test))
        if job.confirm:
            rows = setup.splits.confirmation
            record["confirmation"] = _scored(setup, judge, model, rows)
    _tidy(record["parameters"])
    return record


def _check_new(model, other):
    """Refuses weights that `build_fn` puts into each model, trained in one of them.

    What the next training would begin with, and what has scored this one, depended on
    the order of the trainings.
    """
    variables = {id(variable): variable for variable in other.trainable_variables}
    shared = [v.path for v in model.trainable_variables if id(v) in variables]
    if shared:
        checks.fail(
            "`build_fn` must make all that is trained: models share weights",
            shared=shared[:3],
            fix="Construct or load these layers in the function, or freeze them.",
        )


def _tidy(parameters):
    """Collects garbage once the models since the last time are large together."""
    _untidy[0] += parameters + 200_000
    if _untidy[0] > _TIDY_AT:
        _untidy[0] = 0
        gc.collect()


@dataclasses.dataclass
class Prepared:
    """A model with its strategies and all that its fit needs."""

    model: keras.Model
    initial: str
    data: Any
    validation: Samples
    arguments: dict[str, Any]
    callbacks: list[keras.callbacks.Callback]

    def fit(self) -> tuple[Any, float]:
        """Trains; returns the history and the seconds."""
        begin = time.perf_counter()
        validation = tuple(p for p in self.validation.parts if p is not None)
        history = self.model.fit(
            self.data,
            validation_data=validation if len(self.validation) else None,
            callbacks=self.callbacks,
            shuffle=False,
            verbose=0,
            **self.arguments,
        )
        seconds = time.perf_counter() - begin
        _check_finite(history)
        return history, seconds


def prepare(setup: Setup, job: Job, part: Part) -> Prepared:
    """Builds the baseline with its initial weights, then applies the strategies."""
    seed = setup.seed_of(job.run)
    strategies = [setup.strategies[name] for name in job.arm]
    samples = setup.splits.samples
    model = applying.built(setup.build_fn, samples, seed)
    initial = fingerprint(model)
    # Each step draws from a seed of its own, so that a strategy that draws more
    # numbers than another changes nothing behind it.
    keras.utils.set_random_seed(seed + 1)
    training = samples.rows(part.training)
    model = applying.apply_to_model(model, strategies, training.x)
    arguments = applying.fit_arguments(
        strategies, epochs=setup.epochs, batch_size=setup.batch_size
    )
    keras.utils.set_random_seed(seed + 2)
    data, targets = applying.training_data(
        training, strategies, arguments.pop("batch_size"), seed
    )
    validation = samples.rows(part.validation)
    validation = dataclasses.replace(
        validation, y=applying.like_targets(validation.y, targets)
    )
    steps = len(data) if hasattr(data, "__len__") else None
    callbacks = [
        callback
        for strategy in strategies
        for callback in strategy.make_callbacks(arguments["epochs"], steps)
    ]
    keras.utils.set_random_seed(seed + 3)
    return Prepared(model, initial, data, validation, arguments, callbacks)


def fingerprint(model: keras.Model) -> str:
    """A hash of the weights, which tells whether two runs begin alike."""
    digest = hashlib.blake2b(digest_size=8)
    for weight in model.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)))
    return digest.hexdigest()


def _scored(setup, judge, model, rows):
    samples = setup.splits.samples.rows(rows)
    outputs = scoring.predictions(model, samples.x)
    found = scoring.score(
        setup.metric, judge, samples.y, outputs, setup.seed, samples.weight
    )
    return found._asdict()


def _check_finite(history):
    losses = history.history.get("loss", [])
    for epoch, loss in enumerate(losses):
        if not math.isfinite(loss) and not any(map(math.isfinite, losses[epoch:])):
            raise FloatingPointError(f"the loss was {loss} from epoch {epoch + 1} on")


def _curves(history, metric):
    """Loss and metric of each epoch, in training and validation."""
    names = ("loss", "val_loss", metric, f"val_{metric}")
    return {
        name: [float(f"{value:.6g}") for value in history.history[name]]
        for name in names
        if name in history.history
    }


def _macs(model):
    """Multiplications of one inference, where they can be counted."""
    try:
        report = compression.flops(model)
    except (ValueError, TypeError):
        return None
    return None if report.not_counted else int(report.macs)


def _save_weights(model, path):
    """Writes the weights aside and renames the file."""
    target = pathlib.Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.aside(target, ".weights.h5") as aside:
        model.save_weights(aside)
