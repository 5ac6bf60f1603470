"""The two phases of a fine-tuning."""

import dataclasses
import time
from typing import Any

import keras

from keras_strategies._internal import freezing
from keras_strategies._internal.keras_private import compile_arguments
from keras_strategies.callbacks import LearningRateFinder
from keras_strategies.optimizers import GradientTransform
from keras_strategies.training._data.memory import fits_in_memory
from keras_strategies.training._fine_tune import features, lora
from keras_strategies.training._fine_tune.data import Data, default_loss
from keras_strategies.training._fine_tune.depth_multipliers import DepthMultipliers
from keras_strategies.training._fine_tune.forwarding import ForwardingCallback
from keras_strategies.training._fine_tune.plan import Plan
from keras_strategies.training._fine_tune.trainable_report import number_of_weights

# Of the range test for `learning_rate="find"`.
_FIND_STEPS, _FIND_LOWEST, _FIND_HIGHEST = 80, 1e-6, 1.0
# The rate of the second phase is at most this part of the first phase's: a rate that a
# fresh head bears wrecks a backbone that was trained.
_SECOND_PART = 0.1


@dataclasses.dataclass
class Settings:
    """The checked arguments of `fine_tune` that both phases use."""

    data: Data
    validation: Data | None
    epochs: tuple[int, int]
    rates: tuple[float | None, float | None]  # `None`: to be found
    optimizer: keras.optimizers.Optimizer
    schedule: str
    warmup: float
    loss: Any
    metrics: Any
    batch_size: int
    cache_features: Any
    class_weight: Any
    callbacks: list[Any]
    verbose: Any
    lora: int | None
    lora_alpha: float | None
    seed: int | None


class Run:
    """Trains a model in two phases.

    Attributes:
        rows: A dict a phase, for the result.
        history: The figures of all epochs.
        notes: What was chosen and why.
    """

    def __init__(self, model: keras.Model, plan: Plan, settings: Settings, y: Any):
        self.model, self.plan, self.settings = model, plan, settings
        self.rows, self.history, self.notes = [], {}, []
        self.first_rate = None
        given = compile_arguments(model) if model.compiled else {}
        given.pop("optimizer", None)
        if settings.loss is not None or not given:
            given["loss"] = settings.loss or default_loss(model, y)
        if settings.metrics is not None:
            given["metrics"] = settings.metrics
        elif "metrics" not in given and "crossentropy" in str(given["loss"]):
            given["metrics"] = ["accuracy"]
        self.compile_arguments = given

    def first(self) -> None:
        """Trains all but the backbone."""
        freezing.freeze_layers(self.model, self.plan.backbone)
        epochs, rate = self.settings.epochs[0], self.settings.rates[0]
        if not epochs:
            return
        start = time.perf_counter()
        before = freezing.digests(self.model, self.plan.backbone)
        split, problem = self._split()
        arguments = self._fit_arguments()
        trained, callbacks = self.model, self.settings.callbacks
        if split is not None:
            trained, arguments = self._cached(split, arguments)
            if callbacks:
                callbacks = [ForwardingCallback(callbacks, self.model)]
        elif problem:
            self.notes.append(f"Features were not cached: {problem}.")
        rate = self._fit(trained, "head", epochs, rate, arguments, callbacks)
        self.first_rate = rate
        if trained is not self.model:
            # The head lists its weights in the order of its own layers.
            freezing.refresh(self.model)
        self._check_frozen(before)
        self._add_row("head", epochs, rate, start, split is not None)

    def second(self) -> None:
        """Trains the chosen layers of the backbone as well."""
        epochs, rate = self.settings.epochs[1], self.settings.rates[1]
        if not epochs or not (self.plan.thawing or self.plan.adapted):
            return
        start = time.perf_counter()
        callbacks = list(self.settings.callbacks)
        if self.plan.adapted:
            settings = self.settings
            lora.begin(
                self.model, self.plan.adapted, settings.lora, settings.lora_alpha
            )
        else:
            freezing.unfreeze_layers(self.model, self.plan.thawing[0])
            if len(self.plan.thawing) > 1:
                callbacks = [self._thaw(epochs), *callbacks]
        moving = {id(layer) for layer in [*self.plan.thawed, *self.plan.adapted]}
        kept = [layer for layer in self.plan.backbone if id(layer) not in moving]
        before = freezing.digests(self.model, kept)
        arguments = self._fit_arguments()
        try:
            rate = self._fit(
                self.model, "fine-tuning", epochs, rate, arguments, callbacks
            )
            trained = number_of_weights(self.model.trainable_variables)
        finally:
            if self.plan.adapted:
                lora.merge(self.model, self.plan.adapted)
        self._check_frozen(before, kept)
        self._add_row("fine-tuning", epochs, rate, start, False, trained)

    def _thaw(self, epochs):
        count = len(self.plan.thawing)
        half = max(epochs // 2, 1)
        return _Thaw({i * half // count: self.plan.thawing[i] for i in range(count)})

    def _split(self):
        """`(split, problem)`: where to cut for cached features, or why not."""
        settings, data = self.settings, self.settings.data
        if settings.cache_features is False:
            return None, None
        split = features.Split(self.model)
        if split.problem is None and not data.are_arrays:
            split.problem = "the data are no arrays and may differ in each epoch"
        if split.problem is None and settings.cache_features == "auto":
            split.problem = self._not_worth(split)
        if split.problem is None:
            return split, None
        if settings.cache_features is True:
            raise ValueError(
                f"`cache_features` must not be True here: {split.problem}. Received: "
                'cache_features=True. Give "auto" or False.'
            )
        return None, split.problem

    def _not_worth(self, split):
        samples = self.settings.data.samples
        if self.settings.epochs[0] < 2:
            return "the first phase has one epoch"
        nbytes = split.bytes_for(samples)
        if nbytes is None:
            return "the size of the features is not known before they are computed"
        if not fits_in_memory(nbytes):
            return f"they would take {nbytes / 2**30:.1f} GiB of memory"
        return None

    def _cached(self, split, arguments):
        """The head and the arguments of its `fit`, with features as inputs."""
        size, validation = self.settings.batch_size, self.settings.validation
        cached = {**arguments, "x": split.features(self.settings.data.x, size)}
        if validation is not None and validation.are_arrays:
            x = split.features(validation.x, size)
            rest = validation.validation_argument()[1:]
            cached["validation_data"] = (x, *rest)
        elif validation is not None:
            cached["validation_data"] = None
            self.notes.append(
                "The first phase was not validated: the validation data are no arrays."
            )
        return split.head(), cached

    def _fit_arguments(self):
        settings = self.settings
        arguments = settings.data.fit_arguments(settings.batch_size)
        if settings.validation is not None:
            arguments["validation_data"] = settings.validation.validation_argument()
        if settings.class_weight is not None:
            arguments["class_weight"] = settings.class_weight
        return arguments

    def _fit(self, trained, phase, epochs, rate, arguments, callbacks):
        """Compiles with the schedule of the phase and trains; returns the peak rate."""
        if rate is None:
            rate = self._find(trained, arguments)
            if phase != "head" and self.first_rate is not None:
                rate = min(rate, _SECOND_PART * self.first_rate)
        steps = self.settings.data.batches(self.settings.batch_size) * epochs
        optimizer = self._optimizer(self._schedule(rate, steps))
        self.model.compile(optimizer=optimizer, **self.compile_arguments)
        if trained is not self.model:
            trained.compile(optimizer=optimizer, **self.compile_arguments)
        if self.settings.seed is not None:
            # Here: to compute features draws random numbers on Torch.
            keras.utils.set_random_seed(self.settings.seed + (phase != "head"))
        done = trained.fit(
            **arguments,
            epochs=epochs,
            callbacks=callbacks,
            verbose=self.settings.verbose,
        )
        for name, values in done.history.items():
            self.history.setdefault(name, []).extend(float(v) for v in values)
        self.epochs_done = len(done.epoch)
        self.last = {name: float(v[-1]) for name, v in done.history.items()}
        return rate

    def _find(self, trained, arguments):
        """The rate of a range test, which leaves the model as it was."""
        optimizer = self._optimizer(_FIND_LOWEST)
        trained.compile(optimizer=optimizer, **self.compile_arguments)
        finder = LearningRateFinder(_FIND_LOWEST, _FIND_HIGHEST, steps=_FIND_STEPS)
        given = {k: v for k, v in arguments.items() if k != "validation_data"}
        finder.find(trained, **given)
        return finder.suggest()

    def _schedule(self, rate, steps):
        warmup = round(self.settings.warmup * steps)
        decay = keras.optimizers.schedules
        if self.settings.schedule == "cosine":
            return decay.CosineDecay(
                0.0 if warmup else rate,
                max(steps - warmup, 1),
                warmup_target=rate if warmup else None,
                warmup_steps=warmup,
            )
        if not warmup:
            return rate
        return decay.CosineDecay(
            0.0, 1, alpha=1.0, warmup_target=rate, warmup_steps=warmup
        )

    def _optimizer(self, rate):
        given = self.settings.optimizer
        config = {**given.get_config(), "learning_rate": rate}
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            config["learning_rate"] = keras.optimizers.schedules.serialize(rate)
        optimizer = type(given).from_config(config)
        if self.plan.multipliers:
            transform = DepthMultipliers(self.plan.multipliers)
            return GradientTransform(optimizer, [transform])
        return optimizer

    def _check_frozen(self, before, layers=None):
        layers = self.plan.backbone if layers is None else layers
        moved = freezing.moved(before, freezing.digests(self.model, layers))
        if moved:
            raise RuntimeError(
                "Frozen variables moved, which must never happen; a layer that changes "
                f"its variables at inference as well? {moved}"
            )

    def _add_row(self, phase, epochs, rate, start, cached, trained=None):
        if trained is None:
            trained = number_of_weights(self.model.trainable_variables)
        self.rows.append(
            {
                "phase": phase,
                "epochs": self.epochs_done,
                "learning_rate": rate,
                "trained": trained,
                "frozen": number_of_weights(self.model.weights) - trained,
                "cached": cached,
                "seconds": time.perf_counter() - start,
                **self.last,
            }
        )


class _Thaw(keras.callbacks.Callback):
    """Unfreezes one stage after another when an epoch begins."""

    def __init__(self, stages):
        super().__init__()
        self.stages = stages

    def on_epoch_begin(self, epoch, logs=None):
        layers = self.stages.get(epoch)
        if epoch and layers:
            freezing.unfreeze_layers(self.model, layers)
