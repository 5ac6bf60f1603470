"""Trials of a study as JSON, and trials that the study did not propose."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras_tuner

from keras_strategies.tuning._private.studies import running_trial
from keras_strategies.tuning._studies.distributions import (
    to_distributions,
    to_parameters,
)

if TYPE_CHECKING:
    import optuna


def add_completed(
    study: "optuna.Study",
    hyperparameters: keras_tuner.HyperParameters,
    values: Mapping[str, Any],
    results: Sequence[float],
) -> None:
    """Adds a completed trial that the study did not propose."""
    import optuna

    study.add_trial(
        optuna.trial.create_trial(
            params=to_parameters(hyperparameters, values),
            distributions=to_distributions(hyperparameters, values),
            values=results,
        )
    )


def dump(study: "optuna.Study") -> list[dict[str, Any]]:
    """The trials of a study as JSON values."""
    from optuna.distributions import distribution_to_json

    return [
        {
            "state": trial.state.name,
            "params": trial.params,
            "distributions": {
                name: distribution_to_json(distribution)
                for name, distribution in trial.distributions.items()
            },
            "values": trial.values,
            "intermediate": sorted(trial.intermediate_values.items()),
            "user": trial.user_attrs,
            # Samplers keep their state here, such as the generations of NSGA-II.
            "system": trial.system_attrs,
        }
        for trial in study.get_trials(deepcopy=False)
    ]


def load(
    study: "optuna.Study",
    saved: Sequence[Mapping[str, Any]],
    finished: Collection[str],
) -> dict[str, "optuna.trial.Trial"]:
    """Fills an empty study from `dump`.

    Args:
        study: The study.
        saved: What `dump` returned.
        finished: Ids of KerasTuner's trials that have ended.

    Returns:
        The trials under way, by the id of KerasTuner's trial.
    """
    import optuna
    from optuna.distributions import json_to_distribution

    running = {}
    for item in saved:
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState[item["state"]],
            values=item["values"],
            params=item["params"],
            distributions={
                name: json_to_distribution(text)
                for name, text in item["distributions"].items()
            },
            user_attrs=item["user"],
            system_attrs=item["system"],
            intermediate_values=dict(item["intermediate"]),
        )
        # Added in the saved order, which keeps Optuna's numbers of the trials.
        study.add_trial(trial)
        trial_id = item["user"].get("trial_id")
        is_running = item["state"] == "RUNNING" and trial_id is not None
        if is_running and trial_id not in finished:
            added = study.get_trials(deepcopy=False)[-1]
            running[trial_id] = running_trial(study, added)
    return running
