"""Trials of KerasTuner whose space is repaired."""

from collections.abc import Mapping
from typing import Any

from keras_tuner.engine.trial import Trial

from keras_strategies.tuning._space.space import Space


def trial_from_state(state: Mapping[str, Any]) -> Trial:
    """The trial that `Trial.get_state` described."""
    trial = Trial.from_state(state)
    trial.hyperparameters = Space.of(trial.hyperparameters)
    return trial
