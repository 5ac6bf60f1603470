"""Optuna's studies: samplers, distributions, and a storage that processes share."""

from keras_strategies.tuning._studies import saved_trials, shared_trials
from keras_strategies.tuning._studies.distributions import suggest, to_parameters
from keras_strategies.tuning._studies.samplers import (
    SAMPLERS,
    SamplerName,
    create_study,
    make_sampler,
    make_tpe,
    quiet_sampling,
    trial_state,
)
from keras_strategies.tuning._studies.storage import open_storage

__all__ = [
    "SAMPLERS",
    "SamplerName",
    "create_study",
    "make_sampler",
    "make_tpe",
    "open_storage",
    "quiet_sampling",
    "saved_trials",
    "shared_trials",
    "suggest",
    "to_parameters",
    "trial_state",
]
