"""Translations on disk: one SQLite file, safe to share and to interrupt."""

import contextlib
import sqlite3

from keras_strategies._internal import checks


class TranslationCache:
    """Results by name of the translators and text."""

    def __init__(self, path, name):
        self.path, self.name = str(path), name
        with self._connection() as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS translations (name TEXT, source TEXT, "
                "result TEXT, PRIMARY KEY (name, source)) WITHOUT ROWID"
            )

    @contextlib.contextmanager
    def _connection(self):
        # One connection a use: they may not pass between threads.
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

    def get(self, texts):
        """`{text: result}` for those that are known."""
        found = {}
        with self._connection() as connection:
            for start in range(0, len(texts), 500):
                part = texts[start : start + 500]
                marks = ",".join("?" * len(part))
                query = (
                    "SELECT source, result FROM translations "
                    f"WHERE name = ? AND source IN ({marks})"
                )
                found.update(connection.execute(query, (self.name, *part)))
        return found

    def put(self, results):
        """Keeps `{text: result}`."""
        rows = [(self.name, source, result) for source, result in results.items()]
        with self._connection() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO translations VALUES (?, ?, ?)", rows
            )
