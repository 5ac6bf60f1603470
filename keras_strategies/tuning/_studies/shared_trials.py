"""A study of Optuna that several processes fill, each with an oracle of its own.

Everything is an attribute of Optuna's trials, so that any storage will do. A trial
without `RETRY` that is `TAKEN` and not `SURPLUS` holds one of the `max_trials` places;
places are given in the order of the trials' numbers. A trial whose process has gone is
told to have failed, and a new one with its values and `RETRY` stands in the queue.
"""

import json
import time

from keras_strategies._internal import checks
from keras_strategies._internal.files import python_scalar
from keras_strategies.tuning._studies import studies as _studies

TAKEN = "keras_strategies:values"
ENDED = "keras_strategies:ended"
RETRY = "keras_strategies:retry_of"
LOST = "keras_strategies:lost"
SURPLUS = "keras_strategies:surplus"
ALIVE = "keras_strategies:alive"


def open_storage(storage):
    """A storage of Optuna from a URL, the path of a journal file, or itself."""
    import optuna

    if isinstance(storage, optuna.storages.BaseStorage):
        return storage
    if not isinstance(storage, str) and not hasattr(storage, "__fspath__"):
        checks.fail(
            "`storage` must be the URL of a database, the path of a journal file or a "
            "storage of Optuna",
            error=TypeError,
            storage=storage,
        )
    name = str(storage)
    if "://" in name:
        return _database(name)
    journal = optuna.storages.journal
    return optuna.storages.JournalStorage(journal.JournalFileBackend(name))


# Where a driver of databases has another name for pip.
DRIVERS = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}


def _database(url, waits=(0.2, 0.4, 0.8, 1.6)):
    import optuna
    import sqlalchemy

    try:
        return optuna.storages.RDBStorage(url)
    except ImportError as error:
        missing = getattr(error.__cause__ or error.__context__, "name", None)
        shown = sqlalchemy.make_url(url).render_as_string(hide_password=True)
        raise ImportError(
            f"`storage` {shown} needs the driver `{missing}`, which cannot be "
            f"imported. Install it with: pip install '{DRIVERS.get(missing, missing)}'"
        ) from error
    except sqlalchemy.exc.DatabaseError as error:
        # Of processes that start at once, another one has made the tables.
        integrity = isinstance(error, sqlalchemy.exc.IntegrityError)
        if not waits or not (integrity or "already exists" in str(error)):
            raise
    time.sleep(waits[0])
    return _database(url, waits[1:])


def plain(value):
    return json.loads(json.dumps(value, default=python_scalar))


def is_open(frozen):
    return not frozen.state.is_finished()


def is_running(frozen):
    return frozen.state == _studies.state("RUNNING")


def is_place(frozen):
    """Whether a trial holds one of the `max_trials` places."""
    attrs = frozen.user_attrs
    return TAKEN in attrs and RETRY not in attrs and SURPLUS not in attrs


def is_undecided(frozen):
    """Whether a trial may still take a place."""
    attrs = frozen.user_attrs
    return is_running(frozen) and TAKEN not in attrs and RETRY not in attrs


def is_ended(frozen):
    attrs = frozen.user_attrs
    return ENDED in attrs and SURPLUS not in attrs and not is_open(frozen)


def is_lost(frozen):
    attrs = frozen.user_attrs
    known = TAKEN in attrs and ENDED not in attrs and SURPLUS not in attrs
    return known and frozen.state == _studies.state("FAIL")


def without_successor(trials):
    """The lost trials that nobody has put into the queue again."""
    followed = {t.user_attrs.get(RETRY) for t in trials}
    return [t for t in trials if is_lost(t) and t.number not in followed]


def is_first_retry(frozen, trials):
    """Of several retries of one trial only the first counts."""
    origin = frozen.user_attrs[RETRY]
    same = [t.number for t in trials if t.user_attrs.get(RETRY) == origin]
    return frozen.number == min(same)


class Patience:
    """Notices whose sign of life has not changed for a while, by this clock alone."""

    def __init__(self):
        self._seen = {}

    def is_over(self, frozen, now, seconds):
        sign = (frozen.user_attrs.get(ALIVE), TAKEN in frozen.user_attrs)
        before, since = self._seen.get(frozen.number, (None, now))
        if sign != before:
            self._seen[frozen.number] = sign, now
            return False
        return now - since > seconds


def tell(study, trial, values=None, state=None):
    """Ends a trial of a study; `False` if it has ended already."""
    import optuna

    try:
        study.tell(trial, values, state=state)
    except optuna.exceptions.UpdateFinishedTrialError:
        return False
    except ValueError:
        number = trial if isinstance(trial, int) else trial.number
        if is_open(study.get_trials(deepcopy=False)[number]):
            raise
        return False
    return True


def mark(trial, name, value):
    """Sets an attribute of a trial; `False` if the trial has ended already."""
    import optuna

    try:
        trial.set_user_attr(name, value)
    except optuna.exceptions.UpdateFinishedTrialError:
        return False
    return True
