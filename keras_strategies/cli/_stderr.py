"""Standard error without the chatter of TensorFlow and of the TFLite interpreter."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

# No variable switches these lines off: they are written before TensorFlow reads its
# own, and by threads and libraries below Python. Errors other than that of a machine
# without a GPU get through. The script is a process of its own, not a thread, so that
# the last words of a process that crashes are read, too.
_FILTER = r"""
import re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
chatter = re.compile(
    rb"[IW]\d{4} [0-9:. ]+\S+:\d+\]"
    rb"|\d{4}-\d\d-\d\d [0-9:.]+: [IW] "
    rb"|E\d{4} .*(cuInit|cuda_\w+\.cc.*[Uu]nable to register|computation_placer)"
    rb"|WARNING: All log messages before absl::InitializeLog"
    rb"|To enable the following instructions:.* rebuild TensorFlow"
    rb"|INFO: (Created|Initialized|Applying) TensorFlow Lite"
    rb"|INFO: Created LiteRT"
)
for line in sys.stdin.buffer:
    if not chatter.match(line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""
# Seconds to wait for the last lines; children that outlive the command keep the pipe.
_PATIENCE = 2.0


@contextlib.contextmanager
def without_chatter() -> Iterator[None]:
    """Filters what is written to file descriptor 2, children included.

    Python's own `sys.stderr` goes past the filter, so that it can tell a terminal.
    Nothing is filtered if `TF_CPP_MIN_LOG_LEVEL` is 0 or 1, which is asking for these
    lines, or if standard error is no file.
    """
    try:
        sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        yield
        return
    # 2 and 3, which many have in their shell, ask for silence: it leaves lines out that
    # are written before TensorFlow reads it.
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") in ("0", "1"):
        yield
        return
    sys.stderr.flush()
    terminal, python_stderr = os.dup(2), sys.stderr
    read, write = os.pipe()
    command = [sys.executable, "-I", "-S", "-c", _FILTER]
    with subprocess.Popen(command, stdin=read, stdout=terminal) as process:
        os.close(read)
        os.dup2(write, 2)
        os.close(write)
        sys.stderr = os.fdopen(
            os.dup(terminal), "w", 1, encoding="utf-8", errors="backslashreplace"
        )
        try:
            yield
        finally:
            sys.stderr.flush()
            sys.stderr = python_stderr
            os.dup2(terminal, 2)
            os.close(terminal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
            if process.poll() is None:
                process.kill()
