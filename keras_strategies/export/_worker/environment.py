"""Environment of the subprocesses of an export."""

import os
import sys


def subprocess_environment() -> dict[str, str]:
    """Returns this process's environment and import path for a Python process.

    Without what changes how Python starts: a warning must not become an error there.
    """
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    return inherited | {"PYTHONPATH": path}
