"""Protocol of a search that several processes run through a storage of Optuna.

There is no chief and no lock: each process reads all trials and writes attributes of
the trials it runs, so that any storage will do. Optuna numbers the trials; all
processes see the same numbers, and every rule below breaks ties by the smaller one.

Life of a trial:

1. `study.ask` creates it (RUNNING, no attributes). Its sampler draws the values.
2. `CLAIMED` is set to the values: its process wants to run it. It may do so if it is
   among the first `max_trials` trials that claim a slot and no other claimed trial has
   the same values; else its process marks it `OVER_BUDGET` and fails it.
3. `HEARTBEAT` counts up while its process lives.
4. `FINISHED` is set to the record of the trial (status, metrics, curve, message) and
   the trial is told to Optuna.

A process that dies leaves a RUNNING trial whose heartbeat stands still. Any other
process fails it, whereby it becomes an orphan: claimed, failed, not finished. For each
orphan a new trial with its values, `RETRY` (the number of the orphan) and `ORPHANED`
(how often that has happened) is enqueued. Two processes may do so at once; of several
retries of one orphan the first counts. A retry takes the slot of its orphan.

The attributes' strings are part of the stored format.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_strategies._internal.storage.files import python_scalar
from keras_strategies.tuning._studies.samplers import trial_state

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial, Trial, TrialState

CLAIMED = "keras_strategies:values"
FINISHED = "keras_strategies:ended"
RETRY = "keras_strategies:retry_of"
ORPHANED = "keras_strategies:lost"
OVER_BUDGET = "keras_strategies:surplus"
HEARTBEAT = "keras_strategies:alive"
# Of the study: what the search is.
DESCRIPTION = "keras_strategies:search"


def as_json(value: Any) -> Any:
    """`value` as JSON would return it, which is all that storages take."""
    return json.loads(json.dumps(value, default=python_scalar))


def is_open(frozen: "FrozenTrial") -> bool:
    """Whether a trial waits or runs."""
    return not frozen.state.is_finished()


def is_running(frozen: "FrozenTrial") -> bool:
    return frozen.state == trial_state("RUNNING")


def counts_toward_max_trials(frozen: "FrozenTrial") -> bool:
    """Whether a trial has one of the `max_trials` slots; a retry has its orphan's."""
    attrs = frozen.user_attrs
    return CLAIMED in attrs and RETRY not in attrs and OVER_BUDGET not in attrs


def may_claim_slot(frozen: "FrozenTrial") -> bool:
    """Whether a trial is between `ask` and its claim."""
    attrs = frozen.user_attrs
    return is_running(frozen) and CLAIMED not in attrs and RETRY not in attrs


def is_finished(frozen: "FrozenTrial") -> bool:
    """Whether a trial has a record that counts."""
    attrs = frozen.user_attrs
    return FINISHED in attrs and OVER_BUDGET not in attrs and not is_open(frozen)


def is_orphan(frozen: "FrozenTrial") -> bool:
    """Whether the process of a trial died before the trial had ended."""
    attrs = frozen.user_attrs
    unfinished = CLAIMED in attrs and FINISHED not in attrs and OVER_BUDGET not in attrs
    return unfinished and frozen.state == trial_state("FAIL")


def orphans_without_retry(trials: Sequence["FrozenTrial"]) -> list["FrozenTrial"]:
    """The orphans that no process has enqueued again."""
    retried = {t.user_attrs.get(RETRY) for t in trials}
    return [t for t in trials if is_orphan(t) and t.number not in retried]


def is_first_retry(frozen: "FrozenTrial", trials: Sequence["FrozenTrial"]) -> bool:
    """Whether a retry is the one of its orphan that counts."""
    orphan = frozen.user_attrs[RETRY]
    retries = [t.number for t in trials if t.user_attrs.get(RETRY) == orphan]
    return frozen.number == min(retries)


class HeartbeatMonitor:
    """Notices whose heartbeat stands still, by the clock of this process alone.

    The clocks of machines may differ, so times are never compared between processes:
    what counts is how long this process has seen the same count.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, float]] = {}  # number -> (count, since)

    def is_expired(self, frozen: "FrozenTrial", now: float, timeout: float) -> bool:
        """Whether a trial has shown no change for longer than `timeout` seconds."""
        sign = (frozen.user_attrs.get(HEARTBEAT), CLAIMED in frozen.user_attrs)
        previous, since = self._seen.get(frozen.number, (None, now))
        if sign != previous:
            self._seen[frozen.number] = sign, now
            return False
        return now - since > timeout


def tell(
    study: "Study",
    trial: "Trial | int",
    values: Sequence[float] | None = None,
    state: "TrialState | None" = None,
) -> bool:
    """Ends a trial of a study; `False` if another process has ended it already."""
    import optuna

    try:
        study.tell(trial, values, state=state)
    except optuna.exceptions.UpdateFinishedTrialError:
        return False
    except ValueError:
        # Optuna says so too if the trial ended between its own look and its write.
        number = trial if isinstance(trial, int) else trial.number
        if is_open(study.get_trials(deepcopy=False)[number]):
            raise
        return False
    return True


def set_attribute(trial: "Trial", name: str, value: Any) -> bool:
    """Sets an attribute of a trial; `False` if the trial has ended already."""
    import optuna

    try:
        trial.set_user_attr(name, value)
    except optuna.exceptions.UpdateFinishedTrialError:
        return False
    return True
