"""One call that launches a group from this host, or joins one."""

import functools
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Mapping, Sequence

from keras_strategies._internal import checks
from keras_strategies._internal.launcher.environment import resolve_engine
from keras_strategies._internal.launcher.hosts import LocalHost, find_host_index
from keras_strategies._internal.launcher.member import Member
from keras_strategies._internal.launcher.outcome import Outcome
from keras_strategies._internal.launcher.supervisor import Limits, Supervisor

PORT = 29400


def run_group(
    script: str,
    arguments: Sequence[str],
    workers: int,
    hosts: Sequence[str] | None,
    host_index: int | None,
    engine: str,
    limits: Limits,
    port: int,
    environment: Mapping[str, str],
) -> Outcome:
    """Runs a script in a group of processes."""
    engine = resolve_engine(engine, {**os.environ, **environment})
    addresses = list(hosts or ["127.0.0.1"])
    if len(set(addresses)) < len(addresses):
        checks.fail("`hosts` must differ from each other", hosts=addresses)
    index = 0
    if len(addresses) > 1:
        index = find_host_index(addresses) if host_index is None else host_index
    checks.integer("host_index", index, low=0, high=len(addresses) - 1)
    command = [sys.executable, script, *arguments]
    digest = hashlib.sha256(json.dumps([script, *arguments]).encode()).hexdigest()
    make = functools.partial(
        _host, command, engine, workers, index, addresses, environment
    )
    # The same on all hosts; the interpreter may be elsewhere.
    identity = {
        "hosts": addresses,
        "workers": workers,
        "engine": engine,
        "command": digest[:16],
    }
    if index:
        identity["host_index"] = index
        return Member(make, (addresses[0], port), identity, limits).run()
    seed = secrets.randbelow(2**31)
    identity["seed"] = seed
    return Supervisor(addresses, workers, make(seed), port, limits, identity).run()


def _host(command, engine, workers, index, addresses, environment, seed):
    first = index * workers
    address = addresses[index]
    return LocalHost(command, engine, workers, first, address, seed, environment)
