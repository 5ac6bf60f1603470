"""Facts about the installation; nothing of it is imported in this process."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Any

# Packages of which two versions of one thing, or a mismatch, is a known trouble.
_RIVALS = (
    "keras-nightly",
    "opencv-contrib-python",
    "opencv-python",
    "tensorflow-cpu",
    "tensorflow-intel",
    "tf-keras",
    "tf-nightly",
)
_VARIABLES = re.compile(
    r"(KERAS|TF(?!_CLI|_VAR)|XLA|JAX|TORCH|PYTORCH|CUDA|OMP|OPENBLAS|MKL)_|NVIDIA_VISIBLE_DEVICES"
)
_SECRETS = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|CREDENTIAL")
_TIMEOUT = 180

# Keras is tried in a process of its own: a backend that crashes or hangs is a finding.
_PROBE = r"""
import json, sys, time
found = {}
def tell():
    print("<doctor>" + json.dumps(found), flush=True)
import keras
found["backend"] = keras.config.backend()
found["floatx"] = keras.config.floatx()
found["image_data_format"] = keras.config.image_data_format()
tell()
if found["backend"] == "tensorflow":
    import tensorflow as tf
    names = [d.name.replace("/physical_device:", "") for d in
             tf.config.list_physical_devices()]
    compiled = tf.function(lambda x: (x @ x) + 1.0, jit_compile=True)
elif found["backend"] == "jax":
    import jax
    names = [str(d) for d in jax.devices()]
    compiled = jax.jit(lambda x: (x @ x) + 1.0)
elif found["backend"] == "torch":
    import torch
    names = ["cpu"] + [torch.cuda.get_device_name(i) for i in
                       range(torch.cuda.device_count())]
    if getattr(torch.backends, "mps", None) and torch.backends.mps.is_available():
        names.append("mps")
    compiled = None
else:
    names, compiled = ["cpu"], None
found["devices"] = names
tell()
if compiled is None:
    found["xla"] = "not used by this backend"
else:
    begin = time.perf_counter()
    result = keras.ops.convert_to_numpy(compiled(keras.ops.ones((4, 4))))
    good = bool((result == 5.0).all())
    found["xla"] = ("works, first compilation in "
                    f"{time.perf_counter() - begin:.2f} s") if good else "WRONG RESULT"
tell()
"""


def collect(folder: str) -> dict[str, Any]:
    """Returns the facts as a dict that JSON can hold.

    Args:
        folder: Where results would be written, for the free space.
    """
    import psutil

    from keras_strategies._internal.processes.executors import available_processors

    memory, disk = psutil.virtual_memory(), shutil.disk_usage(folder)
    requirements, home = _requirements(), os.path.expanduser("~")
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": available_processors(),
        "memory": {"free": memory.available, "total": memory.total},
        "disk": {"free": disk.free, "total": disk.total},
        "packages": _versions(requirements),
        "extras": _extras(requirements),
        "unmet": _unmet(),
        "environment": {
            name: "(hidden)" if _SECRETS.search(name) else value.replace(home, "~")
            for name, value in sorted(os.environ.items())
            if _VARIABLES.match(name)
        },
        "has_nvidia_driver": os.path.exists("/proc/driver/nvidia/version"),
        "runtime": _runtime(),
    }


def version_of(name: str) -> str | None:
    """Returns the installed version of a distribution, `None` without one."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements():
    from packaging.requirements import Requirement

    return [Requirement(text) for text in metadata.requires("keras-strategies") or ()]


def _needed(requirement, extra=""):
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _versions(requirements):
    own = sorted({r.name for r in requirements if _needed(r)} | {"jax", "torch"})
    versions = {name: version_of(name) for name in ("keras-strategies", *own)}
    rivals = {name: version_of(name) for name in _RIVALS}
    return versions | {name: text for name, text in rivals.items() if text}


def _extras(requirements):
    """The distributions that each extra for users still lacks."""
    provided = metadata.metadata("keras-strategies").get_all("Provides-Extra") or []
    developers = ("all", "dev", "docs", "types")
    return {
        extra: sorted(
            requirement.name
            for requirement in requirements
            if not _needed(requirement)
            and _needed(requirement, extra)
            and version_of(requirement.name) is None
        )
        for extra in provided
        if extra not in developers
    }


def _unmet():
    """Requirements that the installed versions do not meet, `pip check` in small."""
    from packaging.requirements import Requirement

    unmet = []
    for name in ("keras-strategies", "keras", "tensorflow", "keras-tuner", "tf-keras"):
        if version_of(name) is None:
            continue
        for text in metadata.requires(name) or ():
            requirement = Requirement(text)
            if not _needed(requirement):
                continue
            version = version_of(requirement.name)
            if version is None or not requirement.specifier.contains(version, True):
                unmet.append(
                    {
                        "package": name,
                        "requirement": f"{requirement.name}{requirement.specifier}",
                        "installed": version,
                    }
                )
    return unmet


def _runtime():
    """What Keras says of itself in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"Keras did not start within {_TIMEOUT} s"}
    told = [
        line.removeprefix("<doctor>")
        for line in done.stdout.splitlines()
        if line.startswith("<doctor>")
    ]
    runtime = json.loads(told[-1]) if told else {}
    if done.returncode:
        last = [line for line in done.stderr.splitlines() if line.strip()][-1:]
        runtime["error"] = "".join(last) or f"exit code {done.returncode}"
    return runtime
