"""The verdict of `to_tflite` against the true loss: missed and falsely refused files.

    scripts/benchmark verdict [--seed N] [--tasks SLICE] [--samples N] [--no-report]

Trains the models of `_verdict_tasks.py` once, exports each in several ways (sound ones,
and int8 with ranges of other data), and damages it in others: weights, inputs and
outputs, at several strengths. The true loss of an artifact is the largest fall of its
task's scores, in points, on labelled samples of its own. Two other draws of 300 samples
are judged, with and without their labels. Missed: passed with a loss above 2 points.
Falsely refused: a loss below 0.2. Two peers: the rule that one tolerance stands for a
whole tensor (top-1 of distributions, else 15 % of the range, for 95 % of the samples),
and the scores of the task itself on the labels of the judged samples, refused where one
falls by more than a point.

Intervals are Wilson's of 95 % for single verdicts, and those of 2,000 draws of whole
models, as the artifacts of one model are alike.

The limits of the verdict are those of the package, fixed before these models were made.
"""

import argparse
import collections
import json
import os
import pathlib
import sys
import tempfile
import warnings
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import _verdict_tasks as verdict_tasks

from keras_strategies import export
from keras_strategies.export.convert import _options
from keras_strategies.export.convert._export_job import ExportJob
from keras_strategies.export.verify import _outputs
from keras_strategies.export.verify._criteria import MODE_LIMITS, Criteria
from keras_strategies.export.verify._output_kinds import is_distribution, output_spans

SAMPLES, DRAWS, TEST = 300, 2, 2400
BAD, GOOD = 2.0, 0.2


def _pool(task):
    """Inputs and labels: `DRAWS` draws to judge, then those of the true loss."""
    x, _ = task.data(2, 9)
    test = TEST if x[0].size < 100 else 1200 if task.kind != "pixels" else 500
    parts = [task.data(SAMPLES, 10 + draw) for draw in range(DRAWS)]
    parts.append(task.data(test, 100))
    inputs = np.concatenate([part[0] for part in parts])
    labels = {
        name: np.concatenate([part[1][name] for part in parts]) for name in parts[0][1]
    }
    return inputs, labels


def _named(outputs):
    return outputs if isinstance(outputs, dict) else {"out": outputs}


class _Exporter:
    """Artifacts of one model: one trace and one float32 file serve all of them."""

    def __init__(self, model, x, folder):
        parsed = _options.parse_quantization("int8")
        self.job = ExportJob(
            model=model,
            quantization=parsed,
            quantizer="tensorflow",
            input_type="float32",
            output_type="float32",
            batch_size=None,
            allow_flex=False,
            calibration={"method": "minmax", "percentile": 99.99},
            time_limit=600.0,
            uses_learned_ranges=False,
            metadata=None,
            criteria=Criteria(MODE_LIMITS["int8"]),
        )
        self.job.prepare(x[:4], x[:4])
        self.job.start(folder)
        self.path = pathlib.Path(folder)

    def outputs(self, x, mode, calibration=None):
        """Returns the outputs on `x` of a file of `mode`."""
        job = self.job
        [name] = job.samples
        if calibration is not None:
            for file in ("ranges.npz", "calibration.npz"):
                (self.path / file).unlink(missing_ok=True)
            job.representative = {name: calibration}
        path = job.create_artifact(_options.parse_quantization(mode), "artifact")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = export.TFLiteModel(path).predict(x, batch_size=256, verbose=0)
        return _named(outputs)


def make(task, cache):
    """Trains a model and writes its outputs and those of its artifacts."""
    seed = zlib.crc32(task.name.encode()) + verdict_tasks.SHIFT
    keras.utils.set_random_seed(seed % 2**31)
    x, y = task.data(task.samples, 1)
    model = task.build()
    targets = y if len(y) > 1 else y["out"]
    model.fit(x, targets, epochs=task.epochs, batch_size=32, verbose=0)
    pool, _ = _pool(task)
    arrays = {}

    def keep(name, outputs):
        for key, value in outputs.items():
            arrays[f"{name}/{key}"] = np.asarray(value)

    reference = _named(model.predict(pool, batch_size=256, verbose=0))
    keep("keras:0", reference)
    is_float = pool.dtype.kind == "f"
    calibrations = {"int8:sound": x[:300], "int8:4 samples": x[:4]}
    if is_float:
        calibrations |= {
            f"int8 of wrong ranges:{factor:g}": x[:300] * np.float32(factor)
            for factor in (0.15, 0.4, 10.0)
        }
    else:
        calibrations["int8 of wrong ranges:1 id"] = np.zeros_like(x[:300])
    with tempfile.TemporaryDirectory() as folder:
        exporter = _Exporter(model, x, folder)
        for mode in ("float32", "float16", "dynamic"):
            keep(f"{mode}:sound", exporter.outputs(pool, mode))
        for name, data in calibrations.items():
            keep(name, exporter.outputs(pool, "int8", data))
    if is_float:
        for scale, shift in (
            (1.01, 0),
            (1.05, 0),
            (1.2, 0),
            (2.0, 0),
            (1.0, 0.03),
            (1.0, 0.3),
        ):
            damaged = (pool * scale + shift).astype("float32")
            outputs = _named(model.predict(damaged, batch_size=256, verbose=0))
            keep(f"input normalization:x{scale:g}+{shift:g}", outputs)
    rng, weights = np.random.default_rng(0), model.get_weights()
    for noise in (0.01, 0.03, 0.1, 0.3):
        model.set_weights(
            [
                w + noise * w.std() * rng.normal(size=w.shape).astype(w.dtype)
                if w.ndim > 1
                else w
                for w in weights
            ]
        )
        outputs = _named(model.predict(pool, batch_size=256, verbose=0))
        keep(f"noise of the weights:{noise:g}", outputs)
    model.set_weights(weights)
    spans = output_spans(model, reference)
    for name, entries in spans.items():
        arrays[f"spans/{name}"] = np.array(
            [(s.kind, s.start, s.stop, s.source, int(s.is_shared)) for s in entries]
        )
    np.savez_compressed(cache / f"{task.name}.npz", **arrays)


# Damages of the outputs ------------------------------------------------------


def _to_scores(p, kind):
    if kind == "probabilities":
        return np.log(np.clip(p, 1e-7, 1))
    if kind == "binary_probabilities":
        p = np.clip(p, 1e-7, 1 - 1e-7)
        return np.log(p) - np.log1p(-p)
    return p


def _from_scores(z, kind):
    if kind == "probabilities":
        return verdict_tasks.softmax(z)
    if kind == "binary_probabilities":
        return verdict_tasks.sigmoid(z)
    if kind == "embedding":
        return z / np.maximum(np.linalg.norm(z, axis=-1, keepdims=True), 1e-9)
    return z


def _score_damages(z, rng):
    """Yields `(name, damaged)` of logits, logits of yes, or values."""
    channel = int(rng.integers(z.shape[-1]))
    axes = tuple(range(z.ndim - 1))
    mean, deviation = z.mean(axes), z.std(axes)
    one = np.zeros(z.shape[-1])
    one[channel] = 1
    for s in (0.03, 0.1, 0.2, 0.5, 1.0):
        noise = one * s * deviation * rng.normal(size=z.shape)
        yield f"noise of a channel:{s:g}", z + noise
    for s in (0.03, 0.1, 0.2, 0.5, 1.0):
        yield f"bias of a channel:{s:g}", z + one * s * deviation
    for s in (1.0, 3.0, 12.0):
        yield f"a channel pressed down:{s:g}", z - one * s * deviation
    for f in (0.97, 0.9, 0.7, 0.4):
        yield f"flattened:{f:g}", mean + f * (z - mean)
    for q in (0.002, 0.02, 0.1, 0.3):
        low, high = np.quantile(z, [q, 1 - q], axis=axes)
        yield f"saturated:{q:g}", np.clip(z, low, high)
    yield "sign:all", 2 * mean - z
    constant = np.where(one > 0, mean, z)
    yield "constant:a channel", constant
    yield "constant:all", np.broadcast_to(mean, z.shape)
    if z.shape[-1] > 1:
        other = (channel + 1) % z.shape[-1]
        order = np.arange(z.shape[-1])
        order[[channel, other]] = order[[other, channel]]
        yield "swapped:two channels", z[..., order]
        yield "swapped:reversed", z[..., ::-1]


def _damages(reference, spans, seed):
    """Yields `(name, outputs)`: one span of one output is damaged at a time."""
    rng = np.random.default_rng(seed)
    for name, entries in spans.items():
        for span in entries:
            whole = reference[name].astype("float64")
            columns = (..., slice(span.start, span.stop))
            z = _to_scores(whole[columns], span.kind)
            for damage, changed in _score_damages(z, rng):
                values = whole.copy()
                values[columns] = _from_scores(changed, span.kind)
                yield damage, reference | {name: values.astype("float32")}
        values = reference[name].astype("float64")
        low, high = values.min(), values.max()
        for bits in (8, 6, 5, 4, 3):
            step = (high - low) / (2**bits - 1)
            coarse = low + np.round((values - low) / step) * step
            yield (
                f"coarse output:{bits} bits",
                (reference | {name: coarse.astype("float32")}),
            )


def _one_tolerance(reference, actual):
    """The peer."""
    for name, value in reference.items():
        if is_distribution(value):
            agrees = value.argmax(-1) == actual[name].argmax(-1)
        else:
            largest = np.abs(value - actual[name]).reshape(len(value), -1).max(1)
            agrees = largest <= 0.15 * np.ptp(value)
        if agrees.mean() < 0.95:
            return False
    return True


def artifacts(task, cache):
    """Returns the reference, the spans, and `[(damage, outputs)]` of a task."""
    from keras_strategies.export.verify._output_kinds import Span

    named = collections.defaultdict(dict)
    spans = {}
    with np.load(cache / f"{task.name}.npz") as file:
        for key in file.files:
            name, _, output = key.rpartition("/")
            if name == "spans":
                spans[output] = tuple(
                    Span(kind, int(a), int(b), source, bool(int(shared)))
                    for kind, a, b, source, shared in file[key]
                )
            else:
                named[name][output] = file[key]
    reference = named.pop("keras:0")
    # The outputs of a model of one output carry the layer's name in its spans.
    if set(spans) != set(reference):
        spans = dict(zip(reference, spans.values(), strict=True))
    seed = zlib.crc32(task.name.encode())
    return reference, spans, [*named.items(), *_damages(reference, spans, seed)]


def judge(task, cache, samples=SAMPLES):
    """Yields one row an artifact and draw.

    Args:
        task: The task.
        cache: Folder of the artifacts' outputs.
        samples: Samples of a verdict: at most `SAMPLES`, or all of the draws as one.
    """
    reference, spans, entries = artifacts(task, cache)
    _, labels = _pool(task)
    test = slice(SAMPLES * DRAWS, None)
    draws = [slice(d * SAMPLES, d * SAMPLES + samples) for d in range(DRAWS)]
    if samples > SAMPLES:
        draws = [slice(0, samples)]

    def part(arrays, rows):
        return {name: value[rows] for name, value in arrays.items()}

    def lost(outputs, rows):
        truth, own = part(labels, rows), part(reference, rows)
        base = verdict_tasks.scores(task, truth, own, own)
        found = verdict_tasks.scores(task, truth, part(outputs, rows), own)
        return max(
            b - f for name in base for b, f in zip(base[name], found[name], strict=True)
        )

    for damage, outputs in entries:
        loss = lost(outputs, test)
        for rows in draws:
            pair = part(reference, rows), part(outputs, rows)
            row = {"task": task.name, "kind": task.kind, "loss": loss}
            row["damage"], _, row["strength"] = damage.partition(":")
            row["peer"] = _one_tolerance(*pair)
            row["scores_loss"] = lost(outputs, rows)
            row["scores"] = row["scores_loss"] <= 1.0
            for key, given in (("blind", None), ("labelled", part(labels, rows))):
                criteria = Criteria(MODE_LIMITS["int8"], labels=given)
                figures = _outputs.compare_outputs(*pair, spans, criteria)
                row[key] = all(v.passed for v in figures["verdicts"].values())
                row[f"{key}_loss"] = _outputs.largest_loss(figures)
            yield row


JUDGES = {
    "peer": "one tolerance",
    "scores": "scores on the labels",
    "blind": "without labels",
    "labelled": "with labels",
}


def rates(rows):
    """Returns counts, and of each judge `(errors, errors)`: missed and refused."""
    bad = [row for row in rows if row["loss"] > BAD]
    good = [row for row in rows if row["loss"] < GOOD]
    result = {"bad": len(bad), "good": len(good)}
    for name in JUDGES:
        missed = sum(row[name] for row in bad)
        result[name] = missed, sum(not row[name] for row in good)
    return result


def wilson(errors, count, z=1.96):
    """Returns Wilson's interval of a rate, in per cent."""
    rate, spread = errors / count, z * z / count
    middle = (rate + spread / 2) / (1 + spread)
    half = z / (1 + spread) * np.sqrt(rate * (1 - rate) / count + spread / count / 4)
    return 100 * max(middle - half, 0.0), 100 * (middle + half)


def _models(rows):
    models = collections.defaultdict(list)
    for row in rows:
        models[row["seed"], row["task"]].append(row)
    return models


def _by_models(rows, name, kind, draws=2000):
    """The interval of a rate over draws of models, in per cent."""
    counts = []
    for entries in _models(rows).values():
        found = rates(entries)
        counts.append((found[name][kind == "good"], found[kind]))
    counts = np.array(counts, dtype=float)
    rng = np.random.default_rng(0)
    picked = rng.integers(0, len(counts), size=(draws, len(counts)))
    sums = counts[picked].sum(axis=1)
    return 100 * np.quantile(sums[:, 0] / np.maximum(sums[:, 1], 1), [0.025, 0.975])


def _intervals(rows, title):
    """Prints one line a judge: both rates with both intervals."""
    print(f"| {title} | missed | falsely refused |")
    print("|---|---|---|")
    found = rates(rows)
    for name, label in JUDGES.items():
        cells = []
        for errors, kind in zip(found[name], ("bad", "good"), strict=True):
            count = found[kind]
            low, high = wilson(errors, count)
            least, most = _by_models(rows, name, kind)
            cells.append(
                f"{100 * errors / count:.2f} % of {count} ({low:.2f} to {high:.2f}; "
                f"by models {least:.2f} to {most:.2f})"
            )
        print(f"| {label} | {' | '.join(cells)} |")
    print()


def _table(title, rows, key):
    groups = collections.defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    print(f"| {title} | bad | good | {' | '.join(JUDGES.values())} |")
    print("|" + "---|" * (3 + len(JUDGES)))
    for name, entries in [*groups.items(), ("all", rows)]:
        found = rates(entries)
        counts = found["bad"], found["good"]
        cells = [
            " / ".join(
                f"{100 * errors / count:.1f}" if count else "-"
                for errors, count in zip(found[judge_name], counts, strict=True)
            )
            for judge_name in JUDGES
        ]
        print(f"| {name} | {counts[0]} | {counts[1]} | {' | '.join(cells)} |")
    print()


def main() -> None:
    """Makes what is missing in the cache, then judges it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", default="build/verdict", type=pathlib.Path)
    parser.add_argument(
        "--tasks", default=":", help="FROM:TO:STEP, a slice of the tasks"
    )
    parser.add_argument("--no-report", action="store_true")
    parser.add_argument(
        "--seed", type=int, nargs="+", default=[0], help="shifts of all seeds"
    )
    parser.add_argument("--rows", type=pathlib.Path, help="JSON file of all verdicts")
    parser.add_argument("--worst", type=int, default=0, help="list so many errors")
    parser.add_argument(
        "--samples",
        type=int,
        default=SAMPLES,
        help=f"samples of a verdict: up to {SAMPLES}, or {SAMPLES * DRAWS}",
    )
    arguments = parser.parse_args()
    ends = [int(x) if x else None for x in arguments.tasks.split(":")]
    rows = []
    for seed in arguments.seed:
        verdict_tasks.SHIFT = seed
        cache = arguments.cache / str(seed) if seed else arguments.cache
        cache.mkdir(parents=True, exist_ok=True)
        for task in verdict_tasks.tasks()[slice(*ends)]:
            if not (cache / f"{task.name}.npz").exists():
                make(task, cache)
                print(f"made {task.name}", flush=True)
            if not arguments.no_report:
                found = judge(task, cache, arguments.samples)
                rows += [{**row, "seed": seed} for row in found]
                print(f"judged {task.name}", file=sys.stderr, flush=True)
    if arguments.no_report:
        return
    if arguments.rows:
        arguments.rows.write_text(json.dumps(rows, default=float))
    print(
        f"{len(_models(rows))} models, verdicts on {arguments.samples} samples: missed "
        "/ falsely refused, in per cent\n"
    )
    _intervals(rows, "judge")
    _table("kind", rows, "kind")
    _table("damage", rows, "damage")
    wrong = [
        row
        for row in rows
        if (row["loss"] > BAD and row["labelled"])
        or (row["loss"] < GOOD and not row["labelled"])
        or (row["loss"] > BAD and row["blind"])
        or (row["loss"] < GOOD and not row["blind"])
    ]
    for row in wrong[: arguments.worst]:
        print(
            f"{row['task']}, {row['damage']} {row['strength']}: lost "
            f"{row['loss']:.2f}, judged {row['blind_loss']:.2f} without labels, "
            f"{row['labelled_loss']:.2f} with"
        )


if __name__ == "__main__":
    main()
