"""A search that goes on: what has changed since, in whose folder, in which files."""

import errno
import os
import subprocess
import sys
import time

import keras_tuner
import numpy as np
import pytest

from keras_strategies import tuning
from keras_strategies._internal.storage import checked_json, folder_lock
from keras_strategies.tuning import _space
from keras_strategies.tuning.search._setup import folders

ALGORITHMS = (
    "grid",
    "random",
    "bayesian",
    "hyperband",
    "tpe",
    "gp",
    "cmaes",
    "nsga2",
    "evolution",
)
CHANGES = {
    # name: what happens by default
    "range": "adopted",
    "choices": "adopted",
    "type": "refused",
    "new": "adopted",
    "removed": "refused",
    "condition": "refused",
    "objective": "refused",
    "direction": "refused",
    "algorithm": "adopted",
    "seed": "adopted",
    "cv": "refused",
    "metric renamed": "refused",
    "backend": "adopted",
}
X = np.zeros((8, 1))


class Search(tuning.Tuner):
    """Every value adds to the loss; `metric` is its name."""

    metric = "loss"

    def run_trial(self, trial, *args, **kwargs):
        hp = trial.hyperparameters
        names = [h.name for h in hp.space]
        total = sum(len(str(hp[name])) for name in names if name in hp)
        return {self.metric: float(total), "size": float(total)}


def space(change=None):
    hp = keras_tuner.HyperParameters()
    if change == "range":
        hp.Float("x", 5, 6, step=0.25)
    elif change == "type":
        hp.Int("x", 5, 9)
    elif change != "removed":
        hp.Float("x", 0, 1, step=0.25)
    hp.Choice("kind", ["bb", "ccc"] if change == "choices" else ["a", "bb"])
    if change == "new":
        hp.Boolean("flag")
    if change == "condition":
        with hp.conditional_scope("kind", ["bb"]):
            hp.Int("units", 1, 3)
    else:
        hp.Int("units", 1, 3)
    return hp


def make(folder, algorithm, change=None, max_trials=3, **kwargs):
    other = {"grid": "random", "hyperband": "random"}.get(algorithm, "grid")
    objective = "size" if change == "objective" else "loss"
    direction = "max" if change == "direction" else "min"
    arguments = {
        "objective": keras_tuner.Objective(objective, direction),
        "algorithm": other if change == "algorithm" else algorithm,
        "seed": 2 if change == "seed" else 1,
        "cv": 3 if change == "cv" else 2,
        "hyperparameters": space(change),
        "max_trials": max_trials,
        "directory": folder,
        **kwargs,
    }
    if change == "seed":
        arguments["cv"] = None
    return Search(**arguments)


def outcome(folder, algorithm, change):
    """How a search goes on after a change: its new rows, or its error."""
    first = make(folder, algorithm, **({"cv": None} if change == "seed" else {}))
    first.search(X, X, verbose=0)
    path = folder / "search" / "search.json"
    if change == "backend":
        checked_json.write(path, {**checked_json.read(path), "backend": "another"})
    if change == "metric renamed":
        Search.metric = "error"
    try:
        again = make(folder, algorithm, change, max_trials=6)
        again.search(X, X, verbose=0)
    except ValueError as error:
        return "refused", str(error)
    except keras_tuner.errors.FatalError as error:
        return "refused", str(error)
    finally:
        Search.metric = "loss"
    return "adopted", again


QUICK = ("random", "hyperband", "tpe")


@pytest.mark.parametrize(
    "algorithms", [QUICK, pytest.param(ALGORITHMS, marks=pytest.mark.slow)]
)
def test_each_change_is_adopted_or_one_clear_error(algorithms, tmp_path, capsys):
    table = {}
    for change, expected in CHANGES.items():
        for algorithm in algorithms:
            folder = tmp_path / f"{change}-{algorithm}"
            folder.mkdir()
            cell, detail = outcome(folder, algorithm, change)
            table[change, algorithm] = cell
            if change == "algorithm" and algorithm == "hyperband":
                assert cell == "refused" and "`algorithm` must remain" in detail
                continue
            assert cell == expected, (change, algorithm, detail)
            if cell == "refused":
                assert len(detail) < 500 and "Received" in detail or "metric" in detail
                continue
            check_adopted(detail, change)
    with capsys.disabled():
        width = max(map(len, ALGORITHMS))
        print("\n" + " " * 16 + " ".join(name.ljust(width) for name in algorithms))
        for change in CHANGES:
            cells = [table[change, name].ljust(width) for name in algorithms]
            print(change.ljust(16) + " ".join(cells))


def check_adopted(tuner, change):
    rows = tuner.results()
    new = [row for row in rows if row["status"] == "COMPLETED"]
    if change == "range":
        assert {row["status"] for row in rows} == {"COMPLETED", "OUTSIDE"}
        assert all(5 <= row["value/x"] <= 6 for row in new)
        (best,) = tuner.get_best_hyperparameters()
        assert best["x"] >= 5
        assert any("`x` has" in change for change in tuner.changes)
        assert "outside the present space" in str(rows)
    elif change == "choices":
        assert {row["value/kind"] for row in new} <= {"bb", "ccc"}
        assert any("`kind` has the values bb, ccc" in c for c in tuner.changes)
    elif change == "new":
        assert any("value/flag" in row for row in new)
    else:
        assert len(new) >= 6 or change == "algorithm"
        assert tuner.changes


@pytest.mark.parametrize("change", ["type", "removed", "condition", "objective"])
def test_what_is_refused_can_be_adopted_when_asked(change, tmp_path):
    make(tmp_path, "evolution").search(X, X, verbose=0)
    tuner = make(tmp_path, "evolution", change, max_trials=6, on_change="adopt")
    tuner.search(X, X, verbose=0)
    statuses = [row["status"] for row in tuner.results()]
    assert len(statuses) == 6 and statuses[3:] == ["COMPLETED"] * 3
    if change == "objective":
        assert statuses[:3] == ["COMPLETED"] * 3
        assert all(row["score"] == row["metric/size"] for row in tuner.results())


class Declared(tuning.Tuner):
    """Declares its space inside the trial, by the attribute `declare`."""

    def run_trial(self, trial, *args, **kwargs):
        return float(type(self).declare(trial.hyperparameters))


def declare(folder, function, max_trials, algorithm="random", **kwargs):
    Declared.declare = staticmethod(function)
    tuner = Declared(
        directory=folder, algorithm=algorithm, max_trials=max_trials, seed=1, **kwargs
    )
    tuner.search(verbose=0)
    return tuner


@pytest.mark.parametrize("algorithm", ["random", "tpe", "evolution", "hyperband"])
def test_ranges_declared_in_a_trial_are_adopted(algorithm, tmp_path):
    declare(tmp_path, lambda hp: hp.Float("x", 0, 1), 3, algorithm)
    tuner = declare(tmp_path, lambda hp: hp.Float("x", 5, 6), 8, algorithm)
    rows = tuner.results()
    assert [row["status"] for row in rows[:3]] == ["OUTSIDE"] * 3
    assert len(rows) == 8 and all(5 <= row["value/x"] <= 6 for row in rows[3:])
    assert tuner.oracle.get_best_trials()[0].score >= 5
    # The third time nothing has changed.
    again = declare(tmp_path, lambda hp: hp.Float("x", 5, 6), 9, algorithm)
    assert [row["status"] for row in again.results()[:3]] == ["OUTSIDE"] * 3
    assert all(row["status"] == "COMPLETED" for row in again.results()[3:])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda hp: hp.Int("x", 0, 9) + hp.Int("n", 1, 2), "`x` must have the type"),
        (lambda hp: hp.Int("n", 1, 2), "`x` must be declared"),
    ],
)
def test_what_a_trial_declares_otherwise_is_refused(function, message, tmp_path):
    def before(hp):
        return hp.Float("x", 0, 1) + hp.Int("n", 1, 2)

    declare(tmp_path, before, 2)
    with pytest.raises(keras_tuner.errors.FatalError, match=message):
        declare(tmp_path, function, 4)
    # The search is as it was.
    tuner = declare(tmp_path, before, 4)
    assert len(tuner.results()) == 4
    adopting = declare(tmp_path, function, 6, on_change="adopt")
    assert len(adopting.results()) == 6


def test_the_folder_of_another_format_or_of_another_objective_is_refused(tmp_path):
    make(tmp_path, "random").search(X, X, verbose=0)
    path = tmp_path / "search" / "search.json"
    checked_json.write(path, {**checked_json.read(path), "format": 99})
    with pytest.raises(ValueError, match="this version or an earlier one"):
        make(tmp_path, "random")
    path.unlink()  # as KerasTuner leaves it
    with pytest.raises(ValueError, match="must be a metric of the trials there"):
        make(tmp_path, "random", objective=keras_tuner.Objective("accuracy", "max"))
    assert len(make(tmp_path, "random").results()) == 3


# Files


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "gone", "bare"])
@pytest.mark.parametrize("file", ["trial_1/trial.json", "oracle.json", "search.json"])
@pytest.mark.parametrize(
    "algorithm",
    [
        "hyperband",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("random", "tpe", "grid")),
    ],
)
def test_a_damaged_file_costs_at_most_its_trial(algorithm, file, damage, tmp_path):
    before = make(tmp_path, algorithm, max_trials=4)
    before.search(X, X, verbose=0)
    path = tmp_path / "search" / file
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "bare":  # legal, and without a checksum
        path.write_bytes(b"{}")
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:  # another number in legal JSON
        position = max(k for k, c in enumerate(content) if chr(c) in "0123456789")
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
    if damage == "gone" and file == "search.json":  # as before there was one
        again = make(tmp_path, algorithm, max_trials=6)
    else:
        with pytest.warns(UserWarning, match=f"damaged: .*{path.name}"):
            again = make(tmp_path, algorithm, max_trials=6)
    again.search(X, X, verbose=0)
    rows = {row["trial"]: row for row in again.results()}
    assert len(rows) == 6
    assert all(row["status"] == "COMPLETED" for row in rows.values())
    for row in before.results():
        if file != "trial_1/trial.json" or row["trial"] != "1":
            kept = rows[row["trial"]]
            assert (kept["score"], kept["seconds"]) == (row["score"], row["seconds"])
    values = [
        tuple(sorted((k, str(v)) for k, v in row.items() if k.startswith("value/")))
        for row in rows.values()
    ]
    assert len(set(values)) == 6
    # Nothing is damaged any more.
    assert len(make(tmp_path, algorithm, max_trials=6).results()) == 6


def test_a_grid_that_is_used_up_tells_that_it_may_be_an_old_one(tmp_path):
    class Searched(tuning.Tuner):
        choices = (1, 2)

        def run_trial(self, trial, *args, **kwargs):
            return trial.hyperparameters.Choice("c", list(self.choices))

    arguments = {"algorithm": "grid", "directory": tmp_path}
    Searched(**arguments).search(verbose=0)
    Searched.choices = (1, 2, 3)
    with pytest.warns(UserWarning, match="not known before a trial runs"):
        Searched(**arguments).search(verbose=0)
    space = keras_tuner.HyperParameters()
    space.Choice("c", [1, 2, 3])
    for _ in range(2):
        tuner = Searched(hyperparameters=space, **arguments)
        tuner.search(verbose=0)
        assert [row["value/c"] for row in tuner.results()] == [1, 2, 3]


def test_a_file_tells_when_it_is_damaged(tmp_path):
    path = tmp_path / "a.json"
    assert checked_json.write(path, {}) and checked_json.read(path) == {}
    digest = checked_json.write(path, {"b": np.float32(1.5), "a": [1, None]})
    assert checked_json.read(path) == {"a": [1, None], "b": 1.5}
    assert checked_json.digest_of(path) == digest
    assert checked_json.digest_of(tmp_path / "none") is None
    path.write_text(path.read_text().replace("1.5", "2.5"))
    with pytest.raises(checked_json.DamagedFileError, match="its checksum"):
        checked_json.read(path)
    path.write_text('{"of": "another program"}')
    assert checked_json.read(path) == {"of": "another program"}
    path.write_text("[]")
    with pytest.raises(checked_json.DamagedFileError, match="no JSON object"):
        checked_json.read(path)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_a_full_disk_is_one_error_and_the_search_goes_on_with_room(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(OSError, match="The disk is full") as caught:
            make(disk, "random", max_trials=24).search(X, X, verbose=0)
        assert caught.value.errno == errno.ENOSPC
        remount = ["mount", "-o", "remount,size=8m", str(disk)]
        subprocess.run(remount, check=True)
        tuner = make(disk, "random", max_trials=24)
        assert 1 <= len(tuner.oracle.end_order) < 24
        tuner.search(X, X, verbose=0)
        rows = tuner.results()
        assert [row["status"] for row in rows] == ["COMPLETED"] * 24
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_in_a_trial_ends_the_search(tmp_path):
    class Full(Search):
        def run_trial(self, trial, *args, **kwargs):
            raise OSError("file write failed: errno = 28, error message = 'No space'")

    tuner = Full(max_trials=2, directory=tmp_path, hyperparameters=space())
    with pytest.raises(OSError, match="make room and start the same search again"):
        tuner.search(verbose=0)
    assert tuner.oracle.end_order == []
    assert len(tuner.oracle.trials) == 1  # which will run again


# Owners

# With the library of the lock alone: Keras would take seconds to load.
OWNER = """
import sys, time, filelock
with filelock.FileLock(sys.argv[1] + "/owner.lock"):
    print("owned", flush=True)
    time.sleep(600)
"""


def test_a_second_process_is_refused_until_the_first_is_dead(tmp_path):
    folder = tmp_path / "search"
    make(tmp_path, "random").search(X, X, verbose=0)
    command = [sys.executable, "-c", OWNER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout.readline() == "owned\n"
        checked_json.write(folder / "owner.json", {"host": "a", "pid": owner.pid})
        tuner = make(tmp_path, "random", max_trials=5)
        with pytest.raises(RuntimeError, match=f"pid={owner.pid}.*search_parallel"):
            tuner.search(X, X, verbose=0)
        with pytest.raises(RuntimeError, match="used by another process"):
            make(tmp_path, "random", overwrite=True)
        assert len(tuner.results()) == 3  # to look at it is allowed
        owner.kill()
    tuner.search(X, X, verbose=0)  # a dead owner's folder is free
    assert len(tuner.results()) == 5
    assert not (folder / "owner.json").exists()


def test_trials_of_another_process_are_read_before_the_search(tmp_path):
    late = make(tmp_path, "random", max_trials=5)
    make(tmp_path, "random", max_trials=4).search(X, X, verbose=0)
    late.search(X, X, verbose=0)
    rows = late.results()
    assert len(rows) == 5 and len({row["trial"] for row in rows}) == 5


def test_the_folder_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), folder_lock.FolderLock(tmp_path, "searches"):
        _ = 1 / 0
    with folder_lock.FolderLock(tmp_path, "searches"):
        until = time.time() + 1
        assert checked_json.read(tmp_path / "owner.json")["pid"] == os.getpid()
        assert time.time() < until


def test_overwriting_leaves_nothing_of_the_search(tmp_path):
    make(tmp_path, "random").search(X, X, verbose=0)
    make(tmp_path, "random", overwrite=True)
    assert not folders.has_search(str(tmp_path / "search"))


# Conditional parts by a plain `if`


def test_a_plain_if_gives_each_distinct_combination_once(tmp_path):
    runs = []

    def model(hp):
        values = [hp.Choice("optimizer", ["sgd", "adam"])]
        if values[0] == "sgd":
            values.append(hp.Choice("momentum", [0.0, 0.5, 0.9]))
            if values[1] > 0:
                values.append(hp.Boolean("nesterov"))
        runs.append(tuple(values))
        return len(runs)

    tuner = declare(tmp_path, model, None, "grid")
    assert len(runs) == len(set(runs)) == 6
    rows = tuner.results()
    adam = [row for row in rows if row["value/optimizer"] == "adam"]
    assert len(adam) == 1 and "value/momentum" not in adam[0]
    for algorithm in ("random", "evolution", "tpe"):
        runs.clear()
        declare(tmp_path, model, 9, algorithm, project_name=algorithm)
        assert len(runs) == len(set(runs)), algorithm


def test_values_that_a_model_reads_itself_stay(tmp_path):
    class Reads(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            trial.hyperparameters.Int("n", 1, 2)
            return float(trial.hyperparameters.values["x"])

    hp = keras_tuner.HyperParameters()
    hp.Choice("x", [1, 2, 3])
    tuner = Reads(directory=tmp_path, hyperparameters=hp, algorithm="grid")
    tuner.search(verbose=0)
    assert len(tuner.results()) == 6
    assert all({"value/x", "value/n"} <= row.keys() for row in tuner.results())


def test_a_space_keeps_what_it_knows_when_it_is_saved():
    hp = _space.Space()
    hp.Int("a", 1, 3)
    hp.given, hp.unconfirmed, hp.adopts = {"a"}, {"a"}, True
    again = _space.Space.from_config(hp.copy().get_config())
    assert (again.given, again.unconfirmed, again.adopts) == ({"a"}, {"a"}, True)
    assert keras_tuner.HyperParameters.from_config(again.get_config()).get("a") == 1
