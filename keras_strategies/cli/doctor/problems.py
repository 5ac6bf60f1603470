"""What is wrong with an installation, by rules over its facts."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

Facts = Mapping[str, Any]
Problem = tuple[str, str, str]

_GIB = 2**30
# Distributions that install the same modules over each other.
_TWINS = (
    ("cv2", ("opencv-python-headless", "opencv-python", "opencv-contrib-python")),
    ("keras", ("keras", "keras-nightly")),
    (
        "tensorflow",
        ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tf-nightly"),
    ),
)
_FALSE = ("", "0", "false", "f")


def diagnose(facts: Facts) -> list[dict[str, str]]:
    """Returns the problems of `facts.collect`, errors first.

    Each is a dict of `level` (`"error"`, or `"note"` where it may be on purpose),
    `problem` and `fix`.
    """
    entries = [
        {"level": level, "problem": problem, "fix": fix}
        for rule in _RULES
        for level, problem, fix in rule(facts)
    ]
    return sorted(entries, key=lambda entry: entry["level"] != "error")


def _unmet(facts: Facts) -> Iterator[Problem]:
    for entry in facts["unmet"]:
        version = entry["installed"] or "none"
        yield (
            "error",
            f"{entry['package']} needs {entry['requirement']}. Installed: {version}",
            f"pip install '{entry['requirement']}'",
        )


def _twins(facts: Facts) -> Iterator[Problem]:
    for module, names in _TWINS:
        installed = [name for name in names if facts["packages"].get(name)]
        if len(installed) > 1:
            rest = " ".join(installed)
            yield (
                "error",
                f"{' and '.join(installed)} install the same module `{module}` over "
                "each other",
                f"pip uninstall -y {rest} && pip install {installed[0]}",
            )


def _runtime(facts: Facts) -> Iterator[Problem]:
    runtime = facts["runtime"]
    if "error" in runtime:
        backend = facts["environment"].get("KERAS_BACKEND")
        package = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch"}.get(
            backend or ""
        )
        fix = "Run `python -c 'import keras'` for the whole message."
        if package and not facts["packages"].get(package):
            fix = f"pip install {package}, or unset KERAS_BACKEND."
        yield "error", f"Keras cannot be used: {runtime['error']}", fix
    if runtime.get("xla") == "WRONG RESULT":
        yield (
            "error",
            "A program compiled by XLA returned a wrong result",
            "Unset XLA_FLAGS; if it stays, pass jit_compile=False to compile().",
        )


def _legacy_keras(facts: Facts) -> Iterator[Problem]:
    value = facts["environment"].get("TF_USE_LEGACY_KERAS", "")
    if value.lower() not in _FALSE:
        yield (
            "error",
            f"TF_USE_LEGACY_KERAS={value} makes tf.keras Keras 2, whose models and "
            "layers Keras 3 does not take",
            "unset TF_USE_LEGACY_KERAS",
        )


def _tf_keras(facts: Facts) -> Iterator[Problem]:
    ours, theirs = (facts["packages"].get(n) for n in ("tf-keras", "tensorflow"))
    if ours and theirs and ours.split(".")[:2] != theirs.split(".")[:2]:
        minor = ".".join(theirs.split(".")[:2])
        yield (
            "error",
            f"tf-keras {ours} is made for another TensorFlow than {theirs}; "
            "to_tf_keras and TFMOT need it",
            f"pip install 'tf-keras=={minor}.*'",
        )


def _accelerator(facts: Facts) -> Iterator[Problem]:
    devices = " ".join(facts["runtime"].get("devices", ())).lower()
    seen = any(word in devices for word in ("gpu", "cuda", "nvidia", "tesla"))
    if facts["has_nvidia_driver"] and devices and not seen:
        backend = facts["runtime"]["backend"]
        package = {"tensorflow": "'tensorflow[and-cuda]'", "jax": "'jax[cuda12]'"}.get(
            backend, backend
        )
        yield (
            "note",
            f"This machine has an NVIDIA driver, but {backend} sees no GPU",
            f"pip install -U {package}; CUDA_VISIBLE_DEVICES must not be empty.",
        )


def _space(facts: Facts) -> Iterator[Problem]:
    for name, least in (("memory", 2), ("disk", 2)):
        free = facts[name]["free"] / _GIB
        if free < least:
            yield (
                "note",
                f"Only {free:.1f} GiB of {name} are free",
                "Trainings and exports of larger models may fail; free some.",
            )


_RULES: tuple[Callable[[Facts], Iterator[Problem]], ...] = (
    _runtime,
    _unmet,
    _twins,
    _legacy_keras,
    _tf_keras,
    _accelerator,
    _space,
)
