"""Timing of one candidate by short fits of the model."""

import functools
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_strategies._internal.keras_private.base_methods import base_method
from keras_strategies.training._blocks.fit_interceptor import FitInterceptor
from keras_strategies.training._candidates import KINDS, PLAIN, Candidate
from keras_strategies.training._data.sample import MeasurementSample
from keras_strategies.training._measurement.deadline import Deadline
from keras_strategies.training._measurement.epoch_times import EpochTimes
from keras_strategies.training._measurement.measurement import Measurement

# Target duration of one run, in seconds: it has as many steps of an epoch.
RUN_SECONDS = 0.5
# An upper bound of how many times longer XLA compiles than TensorFlow traces a step.
XLA_COMPILE_FACTOR = 4


class CandidateTiming:
    """One candidate: compiled once, and timed any number of times.

    Args:
        model: The model.
        candidate: The candidate.
        sample: Data to measure on.
        settings: Arguments of `FitInterceptor` beside model and choices.
        restore: Restores the variables of the model after each run.

    Attributes:
        steps: Steps of one run.
        seconds: Shortest time of an epoch so far, extrapolated from `steps`.
        compile_seconds: Seconds of the first run.
    """

    def __init__(
        self,
        model: keras.Model,
        candidate: Candidate,
        sample: MeasurementSample,
        settings: Mapping[str, Any],
        restore: Callable[[], None],
    ):
        self.model, self.candidate, self.sample = model, candidate, sample
        self.settings, self.restore = settings, restore
        self.batches: int = sample.batches
        self.compile_seconds = self.steps = self.seconds = None

    def without_run(
        self, timed: Sequence["CandidateTiming"], deadline: Deadline
    ) -> Measurement | None:
        """Returns the measurement of a candidate that needs no run or has no time.

        Args:
            timed: The candidates timed so far, plain `fit` first.
            deadline: When the measurement has to end.
        """
        if not timed:
            return None
        plain, name = timed[0], self.candidate.name
        if not self.candidate.uses_blocks and self.is_xla == plain.is_xla:
            note = "the same as plain, so the model is compiled"
            return plain.measurement._replace(name=name, note=note)
        compilation, seconds = self._forecast(timed)
        if seconds > deadline.remaining:
            note = f"skipped: about {compilation:.0f} s to compile, over the time limit"
            return Measurement(name, note=note)
        return None

    def first_run(self) -> Measurement | None:
        """Compiles and times the candidate; returns a measurement if it fails."""
        try:
            self.run(epochs=2)
        except Exception as error:
            if self.candidate == PLAIN:
                raise
            text = f"failed: {type(error).__name__}: {error}".split("\n")[0]
            return Measurement(self.candidate.name, note=text[:160])
        return None

    def run(self, epochs: int = 1) -> None:
        """Times some epochs and keeps the shortest; the first run compiles."""
        try:
            if self.steps is None:
                self._compile_and_choose_steps()
            shortest = min(self._fit(self.steps, epochs))
        finally:
            self.restore()
        seconds = shortest * self.batches / self.steps
        self.seconds = min(seconds, self.seconds or seconds)

    def _compile_and_choose_steps(self):
        few = min(2, self.batches)
        begin = time.perf_counter()
        self._fit(few, 1)
        self.compile_seconds = time.perf_counter() - begin
        # A second time, without the compilation.
        seconds_per_step = self._fit(few, 1)[0] / few
        steps = max(few, int(RUN_SECONDS / max(seconds_per_step, 1e-6)))
        # More than half an epoch: the whole of it, which needs no extrapolation.
        self.steps = self.batches if 2 * steps > self.batches else steps

    def _fit(self, steps, epochs):
        """Seconds of each epoch of `steps` steps."""
        times = EpochTimes()
        limit = None if steps == self.sample.exact_batches else steps
        # Arrays in blocks are cut by the interceptor: with `steps_per_epoch` Keras
        # would continue each epoch where the last one ended in the arrays.
        is_cut = self.candidate.uses_blocks and not self.sample.is_dataset
        x, y, sample_weight = self.sample.arguments
        with warnings.catch_warnings():
            # A dataset that cannot be shuffled, or whose end was not known.
            warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
            warnings.filterwarnings("ignore", message="Your input ran out of data")
            with self.interceptor.installed(batch_limit=limit if is_cut else None):
                base_method(self.model, "fit")(
                    x,
                    y,
                    sample_weight=sample_weight,
                    batch_size=self.settings["batch_size"],
                    steps_per_epoch=None if is_cut else limit,
                    epochs=epochs,
                    verbose=0,
                    callbacks=[times],
                )
        return times.seconds

    @functools.cached_property
    def interceptor(self) -> FitInterceptor:
        """The interceptor that runs the candidate, with what it has compiled."""
        choices = dict.fromkeys(KINDS, self.candidate)
        return FitInterceptor(self.model, choices, **self.settings)

    @property
    def is_xla(self) -> bool:
        """Whether XLA or Torch compiles it; for plain `fit`, if the model is set so."""
        if self.candidate.compiler == "plain":
            return self.model.jit_compile
        return self.candidate.uses_jit

    @property
    def run_seconds(self) -> float:
        """Seconds of one more epoch of `run`."""
        return self.seconds * self.steps / self.batches

    @property
    def measurement(self) -> Measurement:
        return Measurement(
            self.candidate.name,
            self.seconds,
            self.compile_seconds,
            self.interceptor.device_bytes,
        )

    def _forecast(self, timed):
        """Estimates `(compile seconds, seconds)` of the first run from other timings.

        Compilation takes as long as the slowest of candidates with the same compiler;
        before there is one, XLA is assumed to take `XLA_COMPILE_FACTOR` times as long.
        Afterwards three runs as long as those of plain `fit` are assumed.
        """
        same = [t.compile_seconds for t in timed if t.is_xla == self.is_xla]
        if same:
            compilation = max(same)
        else:
            compilation = min(t.compile_seconds for t in timed)
            compilation *= XLA_COMPILE_FACTOR if self.is_xla else 1
        return compilation, compilation + 3 * timed[0].run_seconds
