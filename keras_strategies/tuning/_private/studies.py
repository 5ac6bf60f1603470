"""Underscore names of Optuna, which is imported where it is used: it is optional."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optuna


def running_trial(
    study: "optuna.Study", frozen: "optuna.trial.FrozenTrial"
) -> "optuna.trial.Trial":
    """The live trial behind a frozen one, to suggest, report and end it.

    A resumed process has frozen trials only. `study.tell` takes a number, but reports
    and attributes need the trial itself, whose id in the storage is private.
    """
    import optuna

    return optuna.trial.Trial(study, frozen._trial_id)
