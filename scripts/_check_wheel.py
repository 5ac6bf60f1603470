"""Builds the wheel and uses it in new environments; see scripts/check_wheel."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Runs in the new environment, away from the sources.
USE = """
import importlib.util, sys
import keras, numpy as np
import keras_strategies
from keras_strategies import callbacks, compression, export

assert "site-packages" in keras_strategies.__file__, keras_strategies.__file__
for name in ("optuna", "matplotlib", "sklearn", "shtab"):
    assert importlib.util.find_spec(name) is None, f"{name} is a default dependency"
keras.utils.set_random_seed(0)
x = np.random.default_rng(0).random((64, 8)).astype("float32")
y = (x.sum(1) > 4).astype("int32")
model = keras.Sequential([
    keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(2, "softmax")
])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
compression.prune(model, compression.ConstantSparsity(0.5, 0))
rate = callbacks.CosineDecayScheduler(warmup_steps=2, update="batch")
model.fit(x, y, epochs=2, verbose=0, callbacks=[rate])
compression.strip(model)
model.save("model.keras")
result = export.to_tflite(
    keras.models.load_model("model.keras"), "model.tflite",
    quantization="int8", representative_data=x, verify=x,
)
assert result.passed
print("used", keras_strategies.__version__, "with keras", keras.__version__)
"""


def run(*command, cwd, code=0):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )
    if done.returncode != code:
        sys.exit(
            f"check_wheel: {' '.join(map(str, command))} ended with {done.returncode}, "
            f"not {code}:\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
        )
    return done


def build(folder, tag):
    """Returns the wheel, built from the sdist, after a look into both."""
    run(sys.executable, "-m", "venv", folder / "builder", cwd=folder)
    builder = folder / "builder" / "bin" / "python"
    run(builder, "-m", "pip", "install", "--quiet", "build", "twine", cwd=folder)
    run(builder, "-m", "build", "--outdir", folder / "dist", ROOT, cwd=folder)
    run(builder, "-m", "twine", "check", "--strict", *(folder / "dist").iterdir(),
        cwd=folder)  # fmt: skip
    (wheel,) = (folder / "dist").glob("*.whl")
    version = wheel.name.split("-")[1]
    if tag is not None and tag != f"v{version}":
        sys.exit(f"check_wheel: the wheel's version is {version}, the tag {tag}")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    for name in ("keras_strategies/py.typed", "keras_strategies_cli.py"):
        if name not in names:
            sys.exit(f"check_wheel: {name} is not in the wheel")
    strange = [n for n in names if not n.startswith("keras_strategies")]
    if strange:
        sys.exit(f"check_wheel: the wheel has {', '.join(strange[:5])}")
    print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.2f} MiB, {len(names)} files")
    return wheel


def interpreter(version):
    path = shutil.which(f"python{version}")
    if path is None or subprocess.run([path, "-c", ""], check=False).returncode:
        return None
    return path


def use(wheel, python, folder):
    run(python, "-m", "venv", folder / "env", cwd=folder)
    binaries = folder / "env" / "bin"
    run(binaries / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    print(run(binaries / "python", "-c", USE, cwd=folder).stdout.strip())
    command = binaries / "keras-strategies"
    run(command, "--version", cwd=folder)
    run(command, "inspect", "model.tflite", "--json", cwd=folder)
    run(command, "doctor", cwd=folder)
    refused = run(command, "quickstart", cwd=folder, code=2)
    if "keras-strategies[plots,tuning]" not in refused.stderr:
        sys.exit(f"check_wheel: quickstart said {refused.stderr}")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="check_wheel")
    parser.add_argument("--tag")
    parser.add_argument("versions", nargs="*", metavar="PYTHON_VERSION")
    options = parser.parse_args(arguments)
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    with tempfile.TemporaryDirectory() as scratch:
        wheel = build(Path(scratch), options.tag)
        for version in options.versions or [own]:
            python = interpreter(version)
            if python is None:
                sys.exit(f"check_wheel: there is no python{version}")
            folder = Path(scratch) / version
            folder.mkdir()
            print(f"Python {version}: ", end="", flush=True)
            use(wheel, python, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
