"""Checkpoints of trials: weights, and shapes to build the model with."""

import json
import os

import keras

from keras_strategies._internal import checks


def remove_checkpoint(path: str) -> None:
    if os.path.exists(path):
        os.remove(path)


def write_build_config(path: str, model: keras.Model) -> None:
    """Writes the shapes a model was built with, for one that declares no inputs."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(model.get_build_config(), file)


def prepared_optimizer(model: keras.Model) -> float | None:
    """Builds the optimizer, so that weights bring its state; its learning rate.

    Without variables it would start anew with each trial. Its learning rate is a
    variable as well: that of the other trial has to give way to this one. `None` if it
    is no variable but a schedule.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or not model.built:
        return None
    optimizer.build(model.trainable_variables)
    try:
        return float(optimizer.learning_rate)
    except (TypeError, ValueError):
        return None


def read_weights(model: keras.Model, config_path: str, path: str) -> None:
    """Loads the weights of a trial; builds the model by the config if needed."""
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"There are no weights for this trial: {path}. A trial outside the best "
            "`max_checkpoints` has none, nor has one whose `fit` trained nothing."
        )
    if not model.built:
        with open(config_path, encoding="utf-8") as file:
            model.build_from_config(json.load(file))
    # Keras would leave out the state of an optimizer without variables, with a warning.
    prepared_optimizer(model)
    try:
        model.load_weights(path)
    except OSError as error:
        raise OSError(
            checks.message(
                "The weights of this trial cannot be read, the file is damaged",
                {"file": path, "error": str(error)},
                "Build the model anew from `trial.hyperparameters` and train it.",
            )
        ) from error
