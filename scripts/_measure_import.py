"""Measures `import keras_strategies` in fresh processes; see scripts/measure_import.

Times are CPU times of the process, because wall time on a busy machine says more
about the machine. Keras itself imports cv2, matplotlib and scikit-learn when they
are installed, so "by itself" is measured in a process where the heavy modules
cannot be imported and every attempt after `import keras` is written down.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUDGET = 0.05
HEAVY = (
    "ai_edge_litert",
    "cv2",
    "jax",
    "keras_tuner",
    "matplotlib",
    "nltk",
    "gymnasium",
    "optuna",
    "pandas",
    "shap",
    "sklearn",
    "tensorboard",
    "tensorflow",
    "tensorflow_model_optimization",
    "tf_keras",
    "torch",
)

_TIMES = """
import json, time
start = time.process_time()
import keras
middle = time.process_time()
import keras_strategies
end = time.process_time()
print(json.dumps([middle - start, end - middle]))
"""

_PROBE = """
import json, os, sys
blocked, attempts, effects, watching = set(sys.argv[1:]), set(), [], False

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            if watching:
                attempts.add(name.partition(".")[0])
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

def hook(event, args):
    if not watching:
        return
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    kind = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn")
    named = ("os.putenv", "os.unsetenv", "os.system", "os.mkdir", "os.remove")
    if writes or event.startswith(kind) or event in named:
        effects.append(f"{event} {args}")

sys.meta_path.insert(0, Blocker())
sys.addaudithook(hook)
import keras
modules, environment = set(sys.modules), dict(os.environ)
print("<import>", flush=True)
print("<import>", flush=True, file=sys.stderr)
watching = True
import keras_strategies
watching = False
print("</import>", flush=True)
print("</import>", flush=True, file=sys.stderr)
new = {name.partition(".")[0] for name in set(sys.modules) - modules}
names = {*environment, *os.environ}
print(json.dumps({
    "attempts": sorted(attempts),
    "new": sorted(new),
    "effects": effects,
    "environment": sorted(
        name for name in names if environment.get(name) != os.environ.get(name)
    ),
}))
"""


def _fresh(code, backend, *arguments):
    """Runs `code` in a new process; returns it with its output."""
    environment = dict(os.environ, KERAS_BACKEND=backend, TF_CPP_MIN_LOG_LEVEL="3")
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        # -B: writing .pyc files is Python's doing, not the package's.
        [sys.executable, "-B", "-c", code, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"the process on {backend} failed:\n{done.stderr[-3000:]}")
    return done


def import_times(backend, repeats=3):
    """CPU seconds of `import keras` and of `import keras_strategies` after it."""
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "keras_strategies"],
        cwd=ROOT,
        check=True,
    )
    return [json.loads(_fresh(_TIMES, backend).stdout) for _ in range(repeats)]


def median_ratio(times):
    """Median over the processes of own time by Keras's time."""
    return statistics.median(own / keras for keras, own in times)


def probe(backend):
    """What `import keras_strategies` does, in a dict of lists that should be empty.

    * `heavy`: heavy modules that it imports or tries to import by itself
    * `effects`: sockets, processes, files written
    * `environment`: environment variables changed
    * `printed`: text on stdout or stderr
    """
    # The backend's own module is Keras's choice and is loaded by it.
    done = _fresh(_PROBE, backend, *(name for name in HEAVY if name != backend))
    found = json.loads(done.stdout.rpartition("</import>")[2])
    printed = [
        stream.partition("<import>\n")[2].partition("</import>")[0]
        for stream in (done.stdout, done.stderr)
    ]
    return {
        "heavy": sorted({*found["attempts"], *(set(found["new"]) & set(HEAVY))}),
        "effects": found["effects"],
        "environment": found["environment"],
        "printed": [text for text in printed if text],
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="measure_import")
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args(arguments).repeats
    if repeats < 1:
        parser.error(f"--repeats must be at least 1. Received: {repeats}")
    row = "{:<12}{:>14}{:>20}{:>16}{:>16}  {}"
    print(f"CPU seconds in a fresh process, median of {repeats} (best)\n")
    print(
        row.format("backend", "keras", "keras_strategies", "ratio", "budget", "heavy")
    )
    good = True
    for backend in ("tensorflow", "jax"):
        times = import_times(backend, repeats)
        ratio, heavy = median_ratio(times), probe(backend)["heavy"]
        good = good and ratio <= BUDGET and not heavy
        cells = [
            f"{statistics.median(column):.3f} ({min(column):.3f})"
            for column in zip(*times, strict=True)
        ]
        best = min(own / keras for keras, own in times)
        share = f"{ratio:.2%} ({best:.2%})"
        named = ", ".join(heavy) or "none"
        print(row.format(backend, *cells, share, f"{BUDGET:.0%}", named), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
