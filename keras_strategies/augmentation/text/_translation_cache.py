"""Cache of translations in an SQLite file, safe to share and to interrupt."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from keras_strategies._internal import checks


class TranslationCache:
    """Translations by name of the translators and text."""

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        self.path, self.name = str(path), name
        with self._connection() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS translations (name TEXT, source TEXT, "
                "result TEXT, PRIMARY KEY (name, source)) WITHOUT ROWID"
            )

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Any]:
        # One connection per use: they must not be shared between threads.
        try:
            connection = sqlite3.connect(self.path, timeout=60)
            try:
                with connection:
                    yield connection
            finally:
                connection.close()
        except sqlite3.Error as error:
            rule = f"`cache` must be a file this class can write ({error})"
            fix = "Give the path of a new file in a folder that exists."
            raise OSError(checks.message(rule, {"cache": self.path}, fix)) from error

    def get(self, texts: Any) -> dict[str, str]:
        """Returns `{text: result}` of the texts in the cache."""
        results = {}
        with self._connection() as connection:
            # SQLite limits the number of parameters of a query.
            for start in range(0, len(texts), 500):
                batch = texts[start : start + 500]
                marks = ",".join("?" * len(batch))
                query = (
                    "SELECT source, result FROM translations "
                    f"WHERE name = ? AND source IN ({marks})"
                )
                results.update(connection.execute(query, (self.name, *batch)))
        return results

    def add(self, results: Mapping[str, str]) -> None:
        """Stores `{text: result}`."""
        rows = [(self.name, source, result) for source, result in results.items()]
        with self._connection() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO translations VALUES (?, ?, ?)", rows
            )
