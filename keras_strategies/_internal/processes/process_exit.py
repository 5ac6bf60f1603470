"""Names of the signals that ended a process."""

import signal


def signal_name(returncode: int) -> str:
    """Returns the signal of a negative return code of a process, such as "SIGKILL"."""
    try:
        return signal.Signals(-returncode).name
    except ValueError:  # real-time signals have no name
        return f"signal {-returncode}"
