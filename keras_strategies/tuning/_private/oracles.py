"""Underscore names of `keras_tuner.Oracle` and of the oracles derived from it."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import Trial

from keras_strategies.tuning._private import bases


class OracleHooks(bases.Oracle):
    """Private methods that KerasTuner's oracles call on themselves, made overridable.

    `RandomSearchOracle`, `HyperbandOracle` and `BayesianOptimizationOracle` draw by
    `_random_values`, whose seeds of neighbouring searches overlap. There is no public
    method between it and the whole of `populate_space`.
    """

    def _random_values(self) -> dict[str, Any] | None:
        return self._draw_untried()

    def _draw_untried(self) -> dict[str, Any] | None:
        """Returns random values that no trial has had, `None` if there are none."""
        raise NotImplementedError


# The retries and their counts are part of the saved state, which KerasTuner writes
# and reads itself, so they cannot live anywhere else.


def retry_queue(oracle: keras_tuner.Oracle) -> list[str]:
    """The ids of trials that wait to run again; to be changed in place."""
    return oracle._retry_queue


def run_counts(oracle: keras_tuner.Oracle) -> dict[str, int]:
    """How often each trial has run, by trial id; 0 for those that have not."""
    return oracle._run_times


def next_draw(oracle: keras_tuner.Oracle) -> int:
    """Counts a random draw and returns its number; saved under `seed_state`."""
    oracle._seed_state += 1
    return oracle._seed_state


def reset_draws(oracle: keras_tuner.Oracle) -> None:
    """Starts the count of draws at 0; KerasTuner's begins at the seed."""
    oracle._seed_state = 0


# KerasTuner keeps hashes of the values of all trials and saves them; a second record
# beside them could disagree after a resume.


def is_duplicate(oracle: keras_tuner.Oracle, values: Mapping[str, Any]) -> bool:
    """Whether a trial of this search has had these values."""
    return oracle._duplicate(values)


def record_values(oracle: keras_tuner.Oracle, trial: Trial) -> None:
    """Remembers the active values of a trial, in place of those it had before."""
    oracle._record_values(trial)


def max_collisions(oracle: keras_tuner.Oracle) -> int:
    """How many duplicates may be drawn before a space counts as used up."""
    return oracle._max_collisions


def check_objective_reported(
    oracle: keras_tuner.Oracle, metrics: Mapping[str, Any]
) -> None:
    """Raises KerasTuner's `ValueError` if `metrics` lack an objective."""
    oracle._check_objective_found(metrics)


def is_default_objective(objective: Any) -> bool:
    """Whether no objective was named: its class is in `keras_tuner.src` only."""
    return objective.name == "default_objective"


# The display is called and saved by KerasTuner's oracle, under this attribute only.


def display(oracle: keras_tuner.Oracle) -> Any:
    return oracle._display


def set_display(oracle: keras_tuner.Oracle, value: Any) -> None:
    oracle._display = value


# The public attributes `directory` and `project_name` of an oracle stay `None`; the
# tuner sets these.


def set_project(
    oracle: keras_tuner.Oracle, directory: str | os.PathLike[str], name: str
) -> None:
    oracle._set_project_dir(directory, name)


def project_name(oracle: keras_tuner.Oracle) -> str | None:
    """Name of the search; `None` for an oracle that no tuner has."""
    return getattr(oracle, "_project_name", None)


def project_folder(oracle: keras_tuner.Oracle) -> str:
    """Folder of the search, made if it does not exist."""
    folder = os.path.join(str(oracle._directory), oracle._project_name)
    os.makedirs(folder, exist_ok=True)
    return folder


def hyperband_rounds(
    oracle: keras_tuner.oracles.HyperbandOracle,
) -> Iterator[list[tuple[int, int]]]:
    """Yields the rounds of each bracket as pairs of trials and epochs reached.

    KerasTuner computes the sizes in private methods only, and a formula of our own
    would announce another cost than the search has.
    """
    for bracket in range(oracle._get_num_brackets()):
        yield [
            (oracle._get_size(bracket, round_), oracle._get_epochs(bracket, round_))
            for round_ in range(bracket + 1)
        ]


def rebuild_brackets(oracle: keras_tuner.oracles.HyperbandOracle) -> None:
    """Fills the brackets from the values of the trials, after their state was lost.

    Each trial has its bracket, its round and the trial it continues among its values.
    """
    top = oracle._get_num_brackets() - 1
    brackets: list[dict[str, Any]] = []
    for trial_id in oracle.start_order:
        values = oracle.trials[trial_id].hyperparameters.values
        if "tuner/bracket" not in values:
            continue
        round_, past = values["tuner/round"], values.get("tuner/trial_id")
        bracket = _bracket_of(oracle, brackets, values["tuner/bracket"], round_, past)
        bracket["rounds"][round_].append({"past_id": past, "id": trial_id})
    if not brackets:
        return
    oracle._brackets = brackets
    oracle._current_bracket = brackets[-1]["bracket_num"]
    iterations = sum(bracket["bracket_num"] == top for bracket in brackets)
    oracle._current_iteration = max(0, iterations - 1)


def _bracket_of(
    oracle: Any,
    brackets: list[dict[str, Any]],
    number: int,
    round_: int,
    past: str | None,
) -> dict[str, Any]:
    for bracket in brackets:
        rounds = bracket["rounds"]
        if round_:
            if any(entry["id"] == past for entry in rounds[round_ - 1]):
                return bracket
            continue
        has_room = len(rounds[0]) < oracle._get_size(number, 0)
        if bracket["bracket_num"] == number and has_room:
            return bracket
    rounds = [[] for _ in range(max(number, round_) + 1)]
    brackets.append({"bracket_num": number, "rounds": rounds})
    return brackets[-1]


def local_oracle(client: Any) -> keras_tuner.Oracle:
    """The oracle that KerasTuner wrapped for gRPC in a worker of a chief.

    `BaseTuner.__init__` replaces the oracle by an `OracleClient`, which has no public
    way back.
    """
    return client._oracle
