"""What a search is, as its folder says it, and what has changed since.

A folder that is trusted misleads: old losses rank as the new accuracy, and proposals
stay in ranges that the model does not declare any more. So each search writes what it
is, and a search that goes on compares.
"""

import dataclasses
import hashlib
import importlib.metadata
from collections.abc import Mapping
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning.oracles._registry import ALGORITHMS
from keras_strategies.tuning.reports import format_value, objectives_of

FORMAT = 1
_PACKAGES = ("keras", "keras-tuner", "keras-strategies")
#: Algorithms that cannot go on from trials of another one, nor with other options.
_STAGED = ("hyperband", "pbt")


@dataclasses.dataclass
class Changes:
    """Differences between a search and the one in its folder.

    Attributes:
        adopted: What has changed and holds from now on, a sentence each.
        refused: What contradicts the trials there, as messages of errors.
        removed: Scoped names of the hyperparameters that are not declared any more.
        is_rescored: Whether the trials need scores of another objective.
    """

    adopted: list[str] = dataclasses.field(default_factory=list)
    refused: list[str] = dataclasses.field(default_factory=list)
    removed: set[str] = dataclasses.field(default_factory=set)
    is_rescored: bool = False


def describe(tuner: Any, declared: _space.Space) -> dict[str, Any]:
    """Returns what a search is, as JSON values.

    Args:
        tuner: The tuner.
        declared: What is declared before the first trial.
    """
    oracle = tuner.oracle
    return {
        "format": FORMAT,
        "objectives": objectives_of(oracle),
        "algorithm": algorithm_of(oracle),
        "options": oracle.stage_options(),
        "seed": tuner.seed,
        "executions_per_trial": tuner.executions_per_trial,
        "cv": _fold_text(tuner.cv),
        "backend": keras.backend.backend(),
        "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
        "declared": [_space.scoped_name(hp) for hp in declared.space],
    }


def algorithm_of(oracle: Any) -> str:
    """Name of the algorithm of an oracle, or of its class."""
    if oracle.algorithm is not None:
        return oracle.algorithm
    names = [
        name
        for name, algorithm in ALGORITHMS.items()
        if algorithm.oracle is type(oracle)
        and all(getattr(oracle, k) == v for k, v in algorithm.options.items())
    ]
    return names[0] if names else type(oracle).__name__


def _fold_text(cv: Any) -> Any:
    if cv is None or isinstance(cv, int):
        return cv
    text = repr(cv)
    return text if len(text) < 200 else hashlib.sha256(text.encode()).hexdigest()


def compare(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    stored: _space.Space,
    declared: _space.Space,
) -> Changes:
    """Compares two searches.

    Args:
        old: The search in the folder.
        new: The search that goes on.
        stored: The space in the folder, with what was declared inside trials.
        declared: The space that is declared before the first trial now.
    """
    changes = Changes()
    if old.get("format", FORMAT) > FORMAT:
        changes.refused.append(
            checks.message(
                "The search must have been written by this version or an earlier one",
                {"format": old["format"], "known": FORMAT},
                "Update keras_strategies.",
            )
        )
        return changes
    _compare_objectives(old, new, changes)
    _compare_algorithms(old, new, changes)
    if old.get("cv") != new["cv"]:
        _refuse(changes, "`cv` must be the folds of the search there", old, new, "cv")
    # Another seed is another sequence of proposals, which does no harm; but it also
    # makes other folds, on which old and new scores could not be compared.
    if None not in (new["seed"], old.get("seed")) and old["seed"] != new["seed"]:
        if new["cv"] is not None:
            rule = "`seed` must be that of the search there, since it makes the folds"
            _refuse(changes, rule, old, new, "seed")
        else:
            changes.adopted.append(_change("seed", old, new))
    for name in ("executions_per_trial", "backend"):
        if old.get(name, new[name]) != new[name]:
            changes.adopted.append(_change(name, old, new))
    for name, version in new["versions"].items():
        previous = old.get("versions", {}).get(name, version)
        if previous != version:
            changes.adopted.append(f"{name} is {version}, was {previous}")
    _compare_spaces(set(old.get("declared", ())), stored, declared, changes)
    return changes


def _change(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return f"{name} is {new[name]}, was {old[name]}"


def _refuse(
    changes: Changes,
    rule: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    name: str,
) -> None:
    received = {name: new.get(name), "there": old.get(name)}
    changes.refused.append(checks.message(rule, received, _space.WAYS_OUT))


def _compare_objectives(
    old: Mapping[str, Any], new: Mapping[str, Any], changes: Changes
) -> None:
    # As lists: dicts are equal in any order, but the first objective ranks.
    if list(old["objectives"].items()) == list(new["objectives"].items()):
        return
    changes.is_rescored = True
    same_names = list(old["objectives"]) == list(new["objectives"])
    what = "direction" if same_names else "objective"
    rule = f"The {what} must be that of the search there, whose trials it has ranked"
    _refuse(changes, rule, old, new, "objectives")


def _compare_algorithms(
    old: Mapping[str, Any], new: Mapping[str, Any], changes: Changes
) -> None:
    before, now = old["algorithm"], new["algorithm"]
    if before != now:
        if {before, now}.intersection(_STAGED):
            rule = f"`algorithm` must remain {before}: the trials there belong to it"
            _refuse(changes, rule, old, new, "algorithm")
        else:
            changes.adopted.append(_change("algorithm", old, new))
    elif old.get("options", {}) != new["options"]:
        rule = f"The options of {now} must be those of the search there"
        _refuse(changes, rule, old, new, "options")


def _compare_spaces(
    declared_before: set[str],
    stored: _space.Space,
    declared: _space.Space,
    changes: Changes,
) -> None:
    before = {_space.scoped_name(hp): hp for hp in stored.space}
    now = {_space.scoped_name(hp): hp for hp in declared.space}
    new_names = {hp.name for key, hp in now.items() if key not in before}
    for key, hp in before.items():
        if key in now:
            _compare_one(hp, now[key], changes)
        elif key in declared_before:
            changes.removed.add(key)
            moved = hp.name in new_names
            text = _space.changed_message(
                hp.name, "other conditions" if moved else "gone"
            )
            changes.refused.append(text)
    gone = {before[key].name for key in changes.removed}
    for key, hp in now.items():
        if key not in before and before and hp.name not in gone:
            changes.adopted.append(f"`{hp.name}` is new")


def changed_choices(stored: _space.Space, declared: _space.Space) -> list[str]:
    """Returns messages about other choices, which Optuna refuses in one study."""
    before = {_space.scoped_name(hp): hp for hp in stored.space}
    messages = []
    for hp in declared.space:
        previous = before.get(_space.scoped_name(hp))
        if previous is None or _space.kind_of(hp) != "Choice":
            continue
        old, new = _space.domain(previous), _space.domain(hp)
        if old != new:
            messages.append(
                checks.message(
                    f"`{hp.name}` must have the choices of the study in the storage",
                    {"choices": new["values"], "there": old["values"]},
                    "Name another `project_name`.",
                )
            )
    return messages


def _compare_one(before: Any, now: Any, changes: Changes) -> None:
    if _space.kind_of(before) != _space.kind_of(now):
        changes.refused.append(_space.type_change_message(before, now))
        return
    old, new = _space.domain(before), _space.domain(now)
    if old != new:
        changes.adopted.append(
            f"`{now.name}` has {_domain_text(new)}, had {_domain_text(old)}"
        )


def _domain_text(domain: Mapping[str, Any]) -> str:
    if "values" in domain:
        return f"the values {', '.join(map(format_value, domain['values']))}"
    parts = [f"{name} {value}" for name, value in domain.items() if value is not None]
    return ", ".join(parts)
