"""The folder of a search: one owner at a time, checked before it goes on."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies._internal.storage import checked_json
from keras_strategies._internal.storage.folder_lock import FolderLock
from keras_strategies.tuning import _space
from keras_strategies.tuning._private import tuners as private
from keras_strategies.tuning.oracles import OptunaStorageOracle
from keras_strategies.tuning.search._setup import description as _description
from keras_strategies.tuning.search._setup import folders

OnChange = Literal["check", "adopt"]


class Resuming(private.TunerHooks):
    """The part of `Tuner` that goes on with what is in its folder.

    Attributes:
        changes: What has changed since the search began and holds from now on, a
            sentence each.
    """

    seed: int | None
    on_change: OnChange
    changes: list[str]
    _declared: _space.Space | None = None

    def _begin(self) -> None:
        # KerasTuner looks for the file of the tuner, which may be lost alone.
        if isinstance(self.oracle, OptunaStorageOracle):
            self._join_storage()
        elif folders.has_search(str(self.project_dir)):
            self.reload()
        else:
            self._declared_space()

    def save(self) -> None:
        """Writes the state of the search to its folder."""
        if not private.is_worker(self):
            self.oracle.save()
        checked_json.write(self._state_path(), self.get_state())

    def reload(self) -> None:
        """Reads the state of the search from its folder.

        Raises:
            ValueError: If the search there is another one, in what both have in common.
        """
        if not private.is_worker(self):
            if isinstance(self.oracle, OptunaStorageOracle):
                self._join_storage()
            else:
                self._resume()
        path = self._state_path()
        with contextlib.suppress(FileNotFoundError):
            try:
                self.set_state(checked_json.read(path))
            except checked_json.DamagedFileError:
                if os.path.exists(path):
                    checked_json.set_aside(path)

    def _join_storage(self) -> None:
        oracle = self.oracle
        oracle.reset_space()
        declared = self._declared_space()
        keys = {_space.scoped_name(hp) for hp in declared.space}
        oracle.reload()
        # What trials of others have declared is compared when the first one does here.
        grown = {_space.scoped_name(hp) for hp in oracle.hyperparameters.space} - keys
        oracle.hyperparameters.unconfirmed = grown

    def _check_shared(self) -> None:
        """Compares this search with the one in the storage."""
        declared = self._declared_space()
        new = _description.describe(self, declared)
        new["space"] = declared.get_config()
        old = self.oracle.shared_description(new)
        stored = _space.Space.from_config(old["space"])
        changes = _description.compare(old, new, stored, declared)
        changes.refused += _description.changed_choices(stored, declared)
        # The folds and weights of each process may have another seed; the trials of
        # all processes count, so that nothing can be adopted against the others.
        if changes.refused:
            raise ValueError(changes.refused[0])
        self.changes = changes.adopted

    def _resume(self) -> None:
        declared = self._declared_space()
        oracle = self.oracle
        oracle.reload()
        old = folders.read_description(str(self.project_dir))
        new = _description.describe(self, declared)
        if old is None:  # of KerasTuner, or lost
            self._check_metrics()
            old = {**new, "declared": ()}
        changes = _description.compare(old, new, oracle.hyperparameters, declared)
        adopts = self.on_change == "adopt"
        if changes.refused and not adopts:
            raise ValueError(changes.refused[0])
        self.changes = changes.adopted
        if self.seed is None:
            # Folds and weights are those of the search that goes on.
            self.seed = old.get("seed")
        else:
            oracle.seed = self.seed
        if changes.is_rescored:
            oracle.adopt_objective()
        oracle.adopt_space(declared, changes.removed, adopts)

    def _declared_space(self) -> _space.Space:
        """What the user and the model declare before the first trial."""
        if self._declared is None:
            self._declare_space()
            self._declared = self.oracle.hyperparameters.copy()
        return self._declared

    def _check_metrics(self) -> None:
        """Refuses trials that never measured the objective."""
        trials = self.oracle.completed_trials()
        name = self.oracle.objective.name
        if trials and not any(trial.metrics.exists(name) for trial in trials):
            checks.fail(
                "The objective must be a metric of the trials there",
                objective=name,
                metrics=sorted({m for trial in trials for m in trial.metrics.metrics}),
                fix=_space.WAYS_OUT,
            )

    @contextlib.contextmanager
    def _owned(self) -> Iterator[None]:
        """Holds the folder while a search runs in it.

        Of a storage each process may be one of many; a worker's chief has the folder.
        """
        if isinstance(self.oracle, OptunaStorageOracle):
            self._check_shared()
            yield
            return
        if private.is_worker(self):
            yield
            return
        folder = str(self.project_dir)
        with search_lock(folder):
            # Another process may have searched here since this tuner was made.
            if folders.has_search(folder) and not self.oracle.is_current():
                self.reload()
            description = _description.describe(self, self._declared_space())
            folders.write_description(folder, description)
            yield


def search_lock(folder: str) -> FolderLock:
    """The lock of the folder of a search."""
    return FolderLock(
        folder,
        "searches",
        "Let one search run several processes (`search_parallel`), share the trials "
        "through a `storage`, or name another `project_name`.",
    )


def delete_search(folder: str) -> None:
    """Deletes a search, unless another process is running it."""
    with search_lock(folder):
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif name != "owner.lock":
                os.remove(path)


def check_on_change(value: Any) -> OnChange:
    """Checks the argument `on_change`."""
    return checks.choice("on_change", value, ("check", "adopt"))
