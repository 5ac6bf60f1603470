"""State of a search whose files are damaged in part: what can be told from the rest.

Each trial has a file of its own with everything about it, so that the state of the
oracle can be rebuilt from the trials, and a trial that is lost costs nothing else.
"""

import os
import pathlib
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from keras_strategies._internal.storage import checked_json

# What the files of KerasTuner's oracles and trials have as well.
ORACLE_KEYS = ("start_order", "end_order", "hyperparameters")
TRIAL_KEYS = ("trial_id", "hyperparameters", "metrics", "status")

# Key of a trial's file under which the oracle keeps what KerasTuner's trial lacks.
RECORD = "search"


def read_or_set_aside(
    path: str, consequence: str, keys: Collection[str]
) -> dict[str, Any] | None:
    """Returns the content of a file; of a damaged one a warning, and `None`.

    Args:
        path: The file. That it is missing counts as damage.
        consequence: What is lost, for the warning.
        keys: What the content must have, in a file without a checksum too.
    """
    try:
        return checked_json.read(path, keys)
    except checked_json.DamagedFileError as error:
        text = f"{error}."
        if os.path.exists(path):
            text = f"{text} It is now {checked_json.set_aside(path).name}."
        warnings.warn(
            f"A file of the search is damaged: {text} {consequence}", stacklevel=2
        )
        return None


def trial_files(folder: str) -> dict[str, str]:
    """Returns `{trial id: path}` of the files of trials in the folder of a search."""
    return {
        path.parent.name.removeprefix("trial_"): str(path)
        for path in sorted(pathlib.Path(folder).glob("trial_*/trial.json"))
    }


def state_of_trials(records: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the state of an oracle as far as its trials tell it.

    Args:
        records: `{trial id: record}` of what is under `RECORD` in the trials' files.
    """
    order = sorted(records, key=lambda key: (records[key].get("started") or 0, key))
    ended = [key for key in order if records[key].get("ended") is not None]
    names = ("curve", "pruned", "seconds")
    curves, pruned, seconds = (
        {key: r[name] for key, r in records.items() if r.get(name) is not None}
        for name in names
    )
    return {
        "start_order": order,
        "end_order": sorted(ended, key=lambda key: records[key]["ended"]),
        "curves": curves,
        "pruned": pruned,
        "seconds": seconds,
        # Beyond every draw there was: the number of each is not known.
        "seed_state": 1000 * (len(records) + 1),
    }


def without_trials(
    state: Mapping[str, Any], missing: Collection[str]
) -> dict[str, Any]:
    """Returns the state of an oracle without some of its trials.

    Values of theirs may be proposed again.
    """
    if not missing:
        return dict(state)
    kept = dict(state)
    for name in ("start_order", "end_order", "retry_queue"):
        kept[name] = [key for key in state.get(name, []) if key not in missing]
    for name in ("run_times", "curves", "pruned", "seconds", "lost"):
        entries = state.get(name, {}).items()
        kept[name] = {key: value for key, value in entries if key not in missing}
    hashes = dict(state.get("id_to_hash", {}))
    tried = set(state.get("tried_so_far", []))
    kept["tried_so_far"] = sorted(tried - {hashes.pop(key, None) for key in missing})
    kept["id_to_hash"] = hashes
    kept["ongoing_trials"] = {
        tuner_id: key
        for tuner_id, key in state.get("ongoing_trials", {}).items()
        if key not in missing
    }
    if "brackets" in state:  # of Hyperband, whose rounds fill up again
        kept["brackets"] = [
            {
                **bracket,
                "rounds": [
                    [entry for entry in entries if entry["id"] not in missing]
                    for entries in bracket["rounds"]
                ],
            }
            for bracket in state["brackets"]
        ]
    return kept
