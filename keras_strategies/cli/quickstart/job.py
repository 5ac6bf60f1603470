"""Job of the quickstart, step by step: train, prune, export, verify, report."""

import gzip
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_strategies import export
from keras_strategies.cli.quickstart import networks, plots, report, training
from keras_strategies.cli.quickstart.data import load

if TYPE_CHECKING:
    from rich.console import Console

NUM_AUGMENTED = 8


def run_job(
    console: "Console",
    aside: Path,
    folder: str | os.PathLike[str],
    epochs: int,
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Runs the job and writes its files into `aside`.

    Args:
        console: The console of rich for progress and results.
        aside: Folder to write to.
        folder: Where the files will be, for the last line.
        epochs: Epochs of each training.
        seeds: One training of each network for each.

    Returns:
        What report.json holds.
    """
    started = time.perf_counter()
    digits = load()
    with _progress(console) as progress:
        outcome = _train_all(digits, epochs, seeds, progress)
        model = outcome["strategies"]["models"][0]
        pruned_rows = _prune_and_export(
            model, digits, epochs, seeds[0], aside, progress
        )
        values = _assemble(digits, epochs, seeds, outcome, model, pruned_rows)
        values["seconds"] = time.perf_counter() - started
        _write(aside, values, digits, outcome, pruned_rows["int8_outputs"])
    console.print(report.results_table(values))
    console.print(values["summary"])
    console.print(f"Results are in {folder}: open {Path(folder) / 'report.html'}")
    return values


def _progress(console):
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        TextColumn("{task.description:<24}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


def _train_all(digits, epochs, seeds, progress):
    """Every seed of both networks; keeps the models with strategies."""
    outcome = {}
    for name, strategies in (("plain", False), ("strategies", True)):
        title = "with strategies" if strategies else "plain Keras"
        short = "strategies" if strategies else "plain Keras"
        task = progress.add_task(f"Train {title}", total=epochs * len(seeds), note="")
        bar = training.EpochBar(progress, task)
        models, histories, accuracies, seconds = [], [], [], []
        for seed in seeds:
            start = time.perf_counter()
            model, history = training.train(digits, strategies, epochs, seed, bar)
            seconds.append(time.perf_counter() - start)
            answers = model.predict(digits.x_test, verbose=0)
            accuracies.append(training.accuracy(answers, digits.y_test))
            models.append(model)
            histories.append(history)
        outcome[name] = {
            "models": models,
            "histories": histories,
            "accuracies": accuracies,
            "seconds": statistics.mean(seconds),
            "row": _keras_row(f"{short}, mean", models[0], digits)
            | {"accuracy": statistics.mean(accuracies)},
        }
    return outcome


def _prune_and_export(model, digits, epochs, seed, aside, progress):
    """Prunes `model` in place, writes the artifacts, returns their rows."""
    first = model.predict(digits.x_test, verbose=0)
    rows = [
        _keras_row(f"strategies, seed {seed}", model, digits)
        | {"accuracy": training.accuracy(first, digits.y_test)}
    ]
    tuning_epochs = max(1, epochs // 2)
    task = progress.add_task("Prune to 80 %", total=tuning_epochs, note="")
    bar = training.EpochBar(progress, task)
    sparsity = training.prune(model, digits, tuning_epochs, seed, bar)
    pruned = _keras_row("pruned", model, digits)
    pruned["accuracy"] = training.accuracy(
        model.predict(digits.x_test, verbose=0), digits.y_test
    )
    pruned["sparsity"] = sparsity.sparsity
    rows.append(pruned)
    model.save(aside / "model.keras")
    outputs = {}
    names = {"float32": "model_float32.tflite", "int8": "model.tflite"}
    task = progress.add_task("Export and verify", total=len(names), note="")
    for quantization, name in names.items():
        progress.update(task, note=quantization)
        result = export.to_tflite(
            model,
            aside / name,
            quantization=quantization,
            representative_data=digits.x_train,
            verify=digits.x_test,
        )
        artifact = export.TFLiteModel(aside / name)
        answers = artifact.predict(digits.x_test, verbose=0)
        outputs[quantization] = answers
        rows.append(
            {
                "name": f"{quantization} .tflite",
                "accuracy": training.accuracy(answers, digits.y_test),
                "parameters": pruned["parameters"],
                "sparsity": pruned["sparsity"],
                "bytes": result.bytes,
                "gzip_bytes": result.gzipped_bytes,
                "latency_ms": result.latency_ms,
                "agreement": result.agreement,
            }
        )
        progress.update(task, advance=1)
    return {"rows": rows, "int8_outputs": outputs["int8"]}


def _keras_row(name, model, digits):
    """Figures of a Keras model; its file is measured without the optimizer."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.keras"
        # A model that was never compiled has no optimizer to save.
        keras.Model(model.inputs, model.outputs).save(path)
        data = path.read_bytes()
    return {
        "name": name,
        "parameters": model.count_params(),
        "sparsity": None,
        "bytes": len(data),
        "gzip_bytes": len(gzip.compress(data, 9)),
        "latency_ms": _keras_latency(model, digits.x_test[:1]),
        "agreement": None,
    }


def _keras_latency(model, image, runs=30):
    """Median milliseconds of `predict_on_batch` for one image, after a warm-up."""
    model.predict_on_batch(image)
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        model.predict_on_batch(image)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def _assemble(digits, epochs, seeds, outcome, model, exported):
    plain, ours = outcome["plain"], outcome["strategies"]
    comparison = {
        "seeds": list(seeds),
        "plain": plain["accuracies"],
        "strategies": ours["accuracies"],
        "gain": training.paired_gain(plain["accuracies"], ours["accuracies"]),
        "seconds_per_network": {
            "plain": plain["seconds"],
            "strategies": ours["seconds"],
        },
    }
    sizes = {
        name: len(getattr(digits, f"x_{name}")) for name in ("train", "val", "test")
    }
    rows = [plain["row"], ours["row"], *exported["rows"]]
    by_name = {row["name"]: row for row in rows}
    small, large = by_name["int8 .tflite"], by_name["float32 .tflite"]
    return {
        "data": {
            "description": (
                "The UCI handwritten digits in scikit-learn: 8x8 grey images, "
                f"{sizes['train']} with labels to train, {sizes['val']} to watch the "
                f"training, {sizes['test']} to test."
            ),
            **sizes,
        },
        "settings": {
            "epochs": epochs,
            "batch_size": networks.BATCH_SIZE,
            "learning_rate": networks.LEARNING_RATE,
            "target_sparsity": training.SPARSITY,
        },
        "summary": report.gain_sentence(comparison),
        "comparison": comparison,
        "rows": rows,
        "int8_to_float32_bytes": small["bytes"] / large["bytes"],
        "backend": keras.backend.backend(),
        "versions": {
            name: version(name)
            for name in ("keras-strategies", "keras", "tensorflow", "ai-edge-litert")
        },
    }


def _write(aside, values, digits, outcome, int8_outputs):
    keras.utils.set_random_seed(0)
    layer = networks.affine(seed=1)
    images = digits.x_train[:NUM_AUGMENTED]
    versions = [np.asarray(layer(images, training=True)) for _ in range(3)]
    curves = plots.training_curves(
        outcome["plain"]["histories"], outcome["strategies"]["histories"]
    )
    figures = [
        (curves, "Training", "Mean of the seeds; the band spans all of them."),
        (
            plots.augmented_images(images, versions),
            "Augmentation",
            "Eight training images and what RandomAffine changes.",
        ),
        (
            plots.predictions(digits.x_test, digits.y_test, int8_outputs),
            "Answers of the int8 file",
            "The hardest test images: mistakes in red first, then the least sure.",
        ),
    ]
    (aside / "training.png").write_bytes(curves)
    with open(aside / "report.json", "w", encoding="utf-8") as file:
        json.dump(values, file, indent=2)
    (aside / "report.html").write_text(
        report.render_page(values, figures), encoding="utf-8"
    )
