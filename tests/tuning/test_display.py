"""What a person sees of a search while it runs."""

import io

import keras_tuner
import rich.console

from keras_strategies import tuning
from keras_strategies._internal import checks


def display_of(folder, height):
    """The display of a search with twenty ended trials and one that runs."""
    tuner = tuning.Tuner(
        algorithm="random", max_trials=30, directory=folder, hyperparameters=space()
    )
    oracle = tuner.oracle
    for number in range(21):
        trial = oracle.create_trial(f"worker-{number}")
        if number < 20:
            oracle.update_trial(trial.trial_id, {oracle.objective.name: 20 - number})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    console = rich.console.Console(
        file=io.StringIO(), width=80, height=height, force_terminal=True
    )
    display = oracle._display
    display._console = console
    return display, console


def space():
    hp = keras_tuner.HyperParameters()
    for name in ("learning_rate", "momentum", "regularization", "dropout"):
        hp.Float(name, 1e-4, 1.0, sampling="log")
    return hp


def test_the_table_fits_the_terminal_and_shows_what_runs(tmp_path):
    for height, count in ((24, 9), (200, 12)):
        display, console = display_of(tmp_path / str(height), height)
        table = display._fitting_table()
        assert len(console.render_lines(table)) < height
        cells = list(table.columns[0].cells)
        assert cells[0] == "19"  # the best
        assert cells[-1] == "20" and list(table.columns[1].cells)[-1] == "running"
        assert cells[1:-1] == [f"{k:02d}" for k in range(19 - len(cells) + 2, 19)]
        assert len(cells) <= count


def test_a_message_without_values_is_a_sentence():
    assert checks.message("It must be so", {}) == "It must be so."
    assert checks.message("It must be so", {"a": 1}, "Do.").endswith("a=1. Do.")
