"""A script in several processes that train one model."""

import os
from collections.abc import Mapping, Sequence

from keras_strategies._internal import checks
from keras_strategies._internal.launcher.run import PORT, run_group
from keras_strategies._internal.launcher.supervisor import Limits


def launch(
    script: str | os.PathLike[str],
    arguments: Sequence[str] = (),
    workers: int = 1,
    hosts: Sequence[str] | None = None,
    host_index: int | None = None,
    engine: str = "auto",
    max_restarts: int = 3,
    port: int = PORT,
    join_timeout: float = 300.0,
    heartbeat_timeout: float = 10.0,
    grace_period: float = 30.0,
    environment: Mapping[str, str] | None = None,
) -> int:
    """Runs a Python script in a group of processes, until all of them have succeeded.

    Each process gets the environment that the engine reads: `TF_CONFIG` for TensorFlow,
    the address of the coordinator, number and rank for JAX; with several processes on a
    host with accelerators also its share of these. The script trains inside `scope`.
    Its lines are printed behind the rank of the process.

    When a process fails, the others of the group wait for it for ever. So they are
    ended and all are started again, up to `max_restarts` times. With
    `ResumableTraining` the script goes on from the last checkpoint, and ends with the
    weights of a run that was not interrupted. SIGTERM is passed on to all processes,
    and no restart follows.

    On several hosts run the same call on each of them. The launchers of the others join
    that of the first, which decides; one that is lost is waited for, and the group
    restarts when it is back. **The connections are neither encrypted nor authenticated,
    those of TensorFlow and JAX included: use a private network.**

    The same as a command: `keras-strategies launch --workers 2 script.py`.

    Args:
        script: Path of the script.
        arguments: Arguments of the script. Defaults to none.
        workers: Processes on each host. Defaults to `1`.
        hosts: Address of each host, the first one being that which decides. Defaults to
            this host alone.
        host_index: Which of `hosts` this one is, from 0. Defaults to `None`: what an
            indexed job of Kubernetes or Slurm says, or the one whose address is of this
            machine.
        engine: `"jax"`, `"tensorflow"` or `"auto"`, the backend of Keras. Defaults to
            `"auto"`.
        max_restarts: Restarts of the group, at least 0. Defaults to `3`.
        port: Port of the first host at which the launchers of the others join.
            Defaults to `29400`.
        join_timeout: Seconds to wait for the other hosts. Defaults to `300`.
        heartbeat_timeout: Seconds of silence after which a host is lost. Defaults to
            `10`.
        grace_period: Seconds from SIGTERM until processes are killed. Defaults to `30`.
        environment: More variables for the processes. Defaults to none.

    Returns:
        The exit code: 0, or that of the process that failed first, or 128 and the
        number of the signal that ended it.

    Raises:
        ValueError: If the backend is Torch, for which Keras has no such training, or
            an argument is wrong.

    Example:

    ```python
    import pathlib
    from keras_strategies.training import distributed

    pathlib.Path("hello.py").write_text("print('hello')")
    print(distributed.launch("hello.py", workers=2))  # 0
    ```
    """
    path = os.fspath(script)
    if not os.path.isfile(path):
        checks.fail("`script` must be a file", error=FileNotFoundError, script=path)
    if isinstance(arguments, str):
        checks.fail("`arguments` must be a list of texts", arguments=arguments)
    if isinstance(hosts, str):
        checks.fail("`hosts` must be a list of addresses", hosts=hosts)
    limits = Limits(
        checks.integer("max_restarts", max_restarts, low=0),
        checks.real("join_timeout", join_timeout, low=0, low_open=True),
        checks.real("heartbeat_timeout", heartbeat_timeout, low=0, low_open=True),
        checks.real("grace_period", grace_period, low=0),
    )
    outcome = run_group(
        path,
        [str(argument) for argument in arguments],
        checks.integer("workers", workers, low=1),
        hosts,
        host_index,
        engine,
        limits,
        checks.integer("port", port, low=1, high=65535),
        dict(environment or {}),
    )
    return outcome.exit_code
