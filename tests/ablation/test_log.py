"""What is stored, and what is refused when a study goes on."""

import json

import numpy as np
import pytest

from keras_strategies.ablation._runs.log import Log


def record(arm="baseline", run=0, **more):
    return {"arm": arm, "run": run, "value": 0.5, **more}


def test_records_come_back_with_their_arrays(tmp_path):
    shares, losses = np.array([0.0, 1.0, 1.0]), np.array([0.1, 2.5, 1e-9])
    with Log(tmp_path / "new" / "folder") as log:
        log.add(record(parts=shares, confirmation={"parts": losses}))
        log.add(record("a", 1, error="RuntimeError: x"))
    with Log(tmp_path / "new" / "folder") as log:
        assert len(log) == 2 and ("a", 1) in log
        again = log.get(("baseline", 0))
        np.testing.assert_array_equal(again["parts"], shares)
        np.testing.assert_array_equal(again["confirmation"]["parts"], losses)
        assert log.get(("a", 1))["error"] == "RuntimeError: x"
        log.add(record("a", 2))
    lines = (tmp_path / "new" / "folder" / "trainings.jsonl").read_text().splitlines()
    assert [json.loads(line)["run"] for line in lines] == [0, 1, 2]


def test_nothing_twice():
    with Log(None) as log:
        log.add(record())
        with pytest.raises(RuntimeError, match="stored already"):
            log.add(record())


def test_one_process_at_a_time(tmp_path):
    with (
        Log(tmp_path),
        pytest.raises(RuntimeError, match="one process at a time"),
        Log(tmp_path),
    ):
        pass
    with Log(tmp_path):
        pass


def test_other_settings_are_refused(tmp_path):
    with Log(tmp_path) as log:
        log.settings({"epochs": 2, "seed": 7})
    with Log(tmp_path) as log:
        assert log.stored_seed() == 7
        assert log.settings({"epochs": 2, "seed": None})["seed"] == 7
        with pytest.raises(ValueError, match="another epochs.*stored=2, received=3"):
            log.settings({"epochs": 3, "seed": 7})


@pytest.mark.parametrize("text", ["no json\n", '{"run": 1}\n', '[{"arm": 1}]\n'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "trainings.jsonl").write_text(text)
    with pytest.raises(ValueError, match="line=1"), Log(tmp_path):
        pass
    (tmp_path / "trainings.jsonl").unlink()
    with Log(tmp_path):  # the lock was given back
        pass


def test_damaged_settings_are_named(tmp_path):
    (tmp_path / "study.json").write_text("{")
    with Log(tmp_path) as log, pytest.raises(ValueError, match="must be JSON"):
        log.stored_seed()


def test_curves_of_an_arm():
    with Log(None) as log:
        log.add(record(history={"loss": [2.0, 1.0]}))
        log.add(record(run=1, error="x"))
        assert log.histories("baseline", "loss", 9) == [[2.0, 1.0]]
        assert log.histories("baseline", "val_loss", 9) == []
