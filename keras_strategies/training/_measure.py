"""How long an epoch takes, one candidate after the other, within a budget."""

import time
import warnings
from typing import NamedTuple

import keras

from keras_strategies.training._candidates import BLOCK_STEPS, BY_NAME, PLAIN
from keras_strategies.training._installation import Installation

# An epoch is timed on as many of its steps as take about so long.
SECONDS_A_TRIAL = 0.5
# XLA compiles up to so many times longer than TensorFlow traces the same step.
XLA_FACTOR = 4
# Promising ones first, as the budget may not be enough for all.
ORDER = [
    BY_NAME[name]
    for name in (
        "plain",
        "graph-epoch",
        "xla-epoch",
        "xla-step",
        "graph-block",
        "xla-block",
        "graph-step",
    )
]
KINDS = ("train", "test", "predict")
# So often a way to evaluate or predict is timed, the compiling call included.
CALLS = 4
# Short of a gain of so much, plain `fit` stays.
LEAST_GAIN = 0.03


class Measurement(NamedTuple):
    """What was found out about one candidate.

    Attributes:
        name: Name of the candidate.
        seconds: Seconds for an epoch, `None` if it was not measured.
        compile_seconds: Seconds that its first steps took, compilation included.
        bytes: Bytes of data that it holds on the device.
        note: Why it was not measured, or empty.
    """

    name: str
    seconds: float | None = None
    compile_seconds: float | None = None
    bytes: int | None = None
    note: str = ""


class _EpochTimes(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.times = []

    def on_epoch_begin(self, epoch, logs=None):
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.times.append(time.perf_counter() - self._begin)


class Trial:
    """One candidate on the way: compiled once, timed as often as wanted."""

    def __init__(self, model, candidate, sample, settings):
        self.model, self.candidate, self.sample = model, candidate, sample
        choices = dict.fromkeys(KINDS, candidate)
        self.installation = Installation(model, choices, **settings)
        self.total = sample.batches
        self.compile_seconds = self.steps = self.seconds = None

    def run(self, epochs=1):
        """Times some epochs and keeps the least; compiles at the first call."""
        self.installation.install()
        try:
            if self.steps is None:
                few = min(2, self.total)
                begin = time.perf_counter()
                self._fit(few, 1)
                self.compile_seconds = time.perf_counter() - begin
                a_step = self._fit(few, 1)[0] / few
                wanted = max(few, int(SECONDS_A_TRIAL / max(a_step, 1e-6)))
                self.steps = self.total if 2 * wanted > self.total else wanted
            least = min(self._fit(self.steps, epochs)) * self.total / self.steps
        finally:
            self.installation.remove()
        self.seconds = min(least, self.seconds or least)

    def _fit(self, steps, epochs):
        """Seconds of each epoch of `steps` steps."""
        times, part = _EpochTimes(), None if steps == self.sample.known else steps
        cuts_itself = self.candidate.is_launched and not self.sample.is_dataset
        self.installation.trial = part if cuts_itself else None
        x, y, sample_weight = self.sample.given
        with warnings.catch_warnings():
            # A dataset that cannot be shuffled, or whose end was not known.
            warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
            warnings.filterwarnings("ignore", message="Your input ran out of data")
            self.model.fit(
                x,
                y,
                sample_weight=sample_weight,
                batch_size=self.installation.batch_size,
                steps_per_epoch=None if cuts_itself else part,
                epochs=epochs,
                verbose=0,
                callbacks=[times],
            )
        self.installation.trial = None
        return times.times

    @property
    def is_xla(self):
        """Whether XLA compiles it; Keras's own step, if the model is set so."""
        compiler = self.candidate.compiler
        return self.model.jit_compile if compiler == "plain" else compiler == "xla"

    def is_as(self, plain):
        """Whether it runs the very program of plain `fit`."""
        return not self.candidate.is_launched and self.is_xla == plain.is_xla

    @property
    def run_seconds(self):
        """Seconds that one more epoch of `run` takes."""
        return self.seconds * self.steps / self.total

    def forecast(self, others):
        """`(compile seconds, seconds)` of a first `run`, after what others took."""
        if not others:
            return 0.0, 0.0
        alike = [t.compile_seconds for t in others if t.is_xla == self.is_xla]
        if alike:
            compilation = max(alike)
        else:
            compilation = min(t.compile_seconds for t in others)
            compilation *= XLA_FACTOR if self.is_xla else 1
        return compilation, compilation + 3 * others[0].run_seconds

    def measurement(self):
        return Measurement(
            self.candidate.name,
            self.seconds,
            self.compile_seconds,
            self.installation.held_bytes,
        )


class Found(NamedTuple):
    """What `measure` returns."""

    choices: dict
    measurements: list
    notes: list
    installation: Installation | None


def measure(model, candidates, sample, settings, budget_seconds, put_back):
    """Times the candidates in turn and chooses."""
    if len(candidates) == 1:
        return _only(candidates[0])
    deadline = time.perf_counter() + budget_seconds
    left = lambda: deadline - time.perf_counter()  # noqa: E731
    trials, skipped = [], []
    for candidate in sorted(set(candidates) | {PLAIN}, key=ORDER.index):
        trial = Trial(model, candidate, sample, settings)
        without = _without_trial(trial, trials, left())
        if without is not None:
            skipped.append(without)
            continue
        try:
            run(trial, put_back, epochs=2)
        except Exception as error:
            if candidate == PLAIN:
                raise
            text = f"failed: {type(error).__name__}: {error}".split("\n")[0]
            skipped.append(Measurement(candidate.name, note=text[:160]))
            continue
        trials.append(trial)
    _in_turns(trials, put_back, left)
    measured = [trial.measurement() for trial in trials]
    choice = choose(measured)
    chosen = next(trial for trial in trials if trial.candidate.name == choice)
    if choice == PLAIN.name:
        choices, installation = dict.fromkeys(KINDS, choice), None
    else:
        choices, installation = {"train": choice}, chosen.installation
        for kind in ("test", "predict"):
            choices[kind] = _inference(kind, chosen, left, put_back)
        installation.choices = {kind: BY_NAME[name] for kind, name in choices.items()}
    return Found(choices, measured + skipped, [_why(choice, measured)], installation)


def _without_trial(trial, trials, left):
    """What is known of a candidate that need not or cannot be timed, else `None`."""
    if not trials:
        return None
    name = trial.candidate.name
    if trial.is_as(trials[0]):
        note = "the same as plain, so the model is compiled"
        return trials[0].measurement()._replace(name=name, note=note)
    compilation, seconds = trial.forecast(trials)
    if seconds > left:
        note = f"left out: about {compilation:.0f} s to compile, over the budget"
        return Measurement(name, note=note)
    return None


def run(trial, put_back, epochs):
    """Times one candidate; the model is as before afterwards."""
    try:
        trial.run(epochs)
    finally:
        put_back()


def _in_turns(trials, put_back, left):
    """Times the best few and plain again, in turns: the machine may be busy."""
    for _ in range(3):
        least = min(trial.seconds for trial in trials)
        close = [t for t in trials if t.candidate == PLAIN or t.seconds < 1.3 * least]
        if len(close) < 2 or left() < 1.5 * sum(trial.run_seconds for trial in close):
            return
        for trial in close:
            run(trial, put_back, epochs=1)


def _inference(kind, chosen, left, put_back):
    """The name of the fastest way to evaluate or predict; plain without time."""
    if kind == "predict" and chosen.sample.is_dataset:
        return PLAIN.name
    seconds, candidates = {}, _inference_candidates(kind, chosen.candidate)
    steps = min(BLOCK_STEPS, chosen.total)
    calls = CALLS * steps * chosen.seconds / chosen.total
    for candidate in candidates:
        factor = 2 if candidate.compiler == "xla" else 1
        if left() < factor * chosen.compile_seconds + calls:
            break
        choices = {**chosen.installation.choices, kind: candidate}
        chosen.installation.choices = choices
        chosen.installation.install()
        try:
            seconds[candidate.name] = inference_seconds(kind, chosen)
        finally:
            chosen.installation.remove()
            put_back()
    best = min(seconds, key=seconds.get, default=PLAIN.name)
    gains = best in seconds and seconds[best] < (1 - LEAST_GAIN) * seconds[PLAIN.name]
    return best if gains else PLAIN.name


def _inference_candidates(kind, chosen):
    """Plain first. XLA compiles for each number of rows when it predicts."""
    names = [PLAIN.name]
    if keras.backend.backend() == "tensorflow":
        names.append("graph-block")
    if chosen.compiler == "xla" and kind == "test":
        names.append("xla-block")
    return [BY_NAME[name] for name in names]


def inference_seconds(kind, trial):
    """The least seconds of some calls on a part of the data."""
    size, times = trial.installation.batch_size, []
    (x, y, weight), steps = trial.sample.part(BLOCK_STEPS)
    for _ in range(CALLS):
        begin = time.perf_counter()
        if kind == "test":
            trial.model.evaluate(x, y, size, 0, weight, steps)
        else:
            trial.model.predict(x, size, 0, steps)
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def _only(candidate):
    """The one candidate that there is, unmeasured."""
    choices = dict.fromkeys(KINDS, candidate.name)
    notes = [f"It was the only candidate; nothing was measured: {candidate.name}."]
    return Found(choices, [Measurement(candidate.name)], notes, None)


def choose(measurements):
    """The name of the fastest; plain `fit` unless another one gains enough."""
    plain = next(item for item in measurements if item.name == PLAIN.name)
    best = min(measurements, key=lambda item: item.seconds)
    if best.seconds > (1 - LEAST_GAIN) * plain.seconds:
        return PLAIN.name
    return best.name


def _why(choice, measured):
    """A sentence about XLA for `explain`."""
    seconds = {item.name: item.seconds for item in measured}

    def best(compiler):
        names = [name for name in seconds if BY_NAME[name].compiler == compiler]
        return min(names, key=seconds.get, default=None)

    xla, graph = best("xla"), best("graph")
    if xla is None or graph is None:
        return f"{choice} was the fastest of {', '.join(seconds)}."
    return (
        f"The best with XLA, {xla}, took {seconds[xla]:.3g} s an epoch; the best "
        f"without, {graph}, {seconds[graph]:.3g} s; plain fit "
        f"{seconds[PLAIN.name]:.3g} s."
    )
