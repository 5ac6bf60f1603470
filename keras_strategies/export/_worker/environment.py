"""Environment of the subprocesses of an export."""

import os
import sys

#: Name of the variable with the folder that Python put before all others.
LAST_FOLDER = "KERAS_STRATEGIES_LAST_FOLDER"


def subprocess_environment() -> dict[str, str]:
    """Returns this process's environment and import path for a Python process.

    Without what changes how Python starts: a warning must not become an error there.

    The first folder of the path is that of the script, put there by Python. A file in
    it must not replace a module while libraries are imported (JAX asks for
    `compression`, which not every Python has), so it is left out, and named in
    `LAST_FOLDER` for a process that needs the user's own modules after that.
    """
    first, *others = [entry or os.getcwd() for entry in sys.path]
    if sys.flags.safe_path:  # no such folder
        first, others = "", [first, *others]
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    return inherited | {"PYTHONPATH": os.pathsep.join(others), LAST_FOLDER: first}
