"""Storages of Optuna from a URL or a path."""

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from keras_strategies._internal import checks

if TYPE_CHECKING:
    import optuna

# Where a driver of databases has another name for pip.
_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
}


def open_storage(storage: Any) -> "optuna.storages.BaseStorage":
    """A storage of Optuna from a URL, the path of a journal file, or itself."""
    import optuna

    if isinstance(storage, optuna.storages.BaseStorage):
        return storage
    if not isinstance(storage, str | os.PathLike):
        checks.fail(
            "`storage` must be the URL of a database, the path of a journal file or a "
            "storage of Optuna",
            error=TypeError,
            storage=storage,
        )
    location = str(storage)
    if "://" in location:
        return _open_database(location)
    journal = optuna.storages.journal
    return optuna.storages.JournalStorage(journal.JournalFileBackend(location))


def _open_database(
    url: str, waits: Sequence[float] = (0.2, 0.4, 0.8, 1.6)
) -> "optuna.storages.BaseStorage":
    import optuna
    import sqlalchemy

    try:
        return optuna.storages.RDBStorage(url)
    except ImportError as error:
        missing = getattr(error.__cause__ or error.__context__, "name", None)
        shown = sqlalchemy.make_url(url).render_as_string(hide_password=True)
        package = _PACKAGES.get(str(missing), missing)
        raise ImportError(
            f"`storage` {shown} needs the driver `{missing}`, which cannot be "
            f"imported. Install it with: pip install '{package}'"
        ) from error
    except sqlalchemy.exc.DatabaseError as error:
        # Processes that start at once all try to create the tables; those that lose
        # the race see either of these errors and find the tables the next time.
        integrity = isinstance(error, sqlalchemy.exc.IntegrityError)
        if not waits or not (integrity or "already exists" in str(error)):
            raise
    time.sleep(waits[0])
    return _open_database(url, waits[1:])
