"""Trials of KerasTuner with a repaired space."""

from keras_tuner.engine.trial import Trial

from keras_strategies.tuning._space import space


def trial_from(state):
    trial = Trial.from_state(state)
    trial.hyperparameters = space.Space.of(trial.hyperparameters)
    return trial
