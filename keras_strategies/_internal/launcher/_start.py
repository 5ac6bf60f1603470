"""Becomes a command that ends when its launcher does, even if that one is killed.

Run as a file, by the launcher. The request to the kernel outlives `exec`; only Linux
has it, and elsewhere the processes of a launcher that is killed stay.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != int(sys.argv[1]):  # it has ended already
            sys.exit(1)
    os.execvp(sys.argv[2], sys.argv[2:])
