"""Draws the pictures of the documentation into docs/images.

    .venv/bin/python scripts/docs_pictures.py [NAME ...]

Everything is seeded; the pictures change only with what they show. `accelerated` draws
the recorded rounds of scripts/benchmarks/results; all others are runs of this script.
"""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
RESULTS = ROOT / "scripts" / "benchmarks" / "results"
STEPS = 100
# Inches: the letters of a picture this wide can be read on a phone.
NARROW = 4.4
BLUE, RED, GREY = "#3f51b5", "#d81b60", "#9e9e9e"


def figure(*shape, width=7.2, height=2.8, **options):
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(width, height), layout="constrained")
    return drawing, drawing.subplots(*shape, **options)


def save(drawing, name):
    # Palettes are enough for lines, and keep the repository small.
    drawing.savefig(IMAGES / name, dpi=110, metadata={"Software": None})


def curves():
    """The schedules, each with a peak of 1 over 100 steps."""
    import keras

    from keras_strategies import schedules as s

    cosine = keras.optimizers.schedules.CosineDecay(1.0, 80)
    return {
        "WarmupSchedule(CosineDecay)": s.WarmupSchedule(cosine, 20),
        "OneCycle": s.OneCycle(1.0, STEPS),
        "WarmupStableDecay": s.WarmupStableDecay(1.0, STEPS, 10, 25),
        "FlatCosine": s.FlatCosine(1.0, STEPS),
        "InverseSquareRoot": s.InverseSquareRoot(10, max_learning_rate=1.0),
        "StepDecay": s.StepDecay(1.0, 25, decay_rate=0.5),
        "MultiStepDecay": s.MultiStepDecay(1.0, [50, 75], decay_rate=0.3),
        "Cyclical": s.Cyclical(0.05, 1.0, 12),
        "Cyclical (triangular2)": s.Cyclical(0.05, 1.0, 12, mode="triangular2"),
        "TanhDecay": s.TanhDecay(1.0, STEPS),
        "JoinSchedules": s.JoinSchedules([0.3, cosine], [20]),
        "ScaledSchedule(TanhDecay, 0.5)": s.ScaledSchedule(
            s.TanhDecay(1.0, STEPS), 0.5
        ),
    }


def schedules():
    drawing, axes = figure(3, 4, height=4.6, sharex=True, sharey=True)
    for ax, (name, schedule) in zip(axes.flat, curves().items(), strict=True):
        steps = range(STEPS + 1)
        ax.plot(steps, [float(schedule(step)) for step in steps], color="#3f51b5")
        ax.set_title(name, fontsize=7)
        ax.tick_params(labelsize=7)
        ax.grid(alpha=0.3)
    drawing.supxlabel("step", fontsize=8)
    drawing.supylabel("rate, peak 1", fontsize=8)
    save(drawing, "schedules.png")


def digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) / 16).astype("float32")
    return (x[:1000], y[:1000]), (x[1000:1300], y[1000:1300]), (x[1300:], y[1300:])


def network():
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def use_callbacks(train, validation):
    import keras

    from keras_strategies.callbacks import CosineDecayScheduler, GradientClipping

    model, rates, losses = network(), [], []

    class Record(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(float(self.model.optimizer.learning_rate))

    rate = CosineDecayScheduler(warmup_steps=32, update="batch")
    clip = GradientClipping(global_clipnorm=1.0)
    history = model.fit(
        *train,
        epochs=10,
        validation_data=validation,
        callbacks=[rate, clip, Record()],
        verbose=0,
    ).history
    losses = history["loss"]
    drawing, (left, right) = figure(1, 2, height=2.4)
    left.plot(rates, color="#3f51b5")
    left.set(xlabel="step", ylabel="learning rate")
    right.plot(range(1, 11), losses, label="training", color="#3f51b5")
    right.plot(range(1, 11), history["val_loss"], label="validation", color="#d81b60")
    right.set(xlabel="epoch", ylabel="loss", yscale="log")
    right.legend()
    save(drawing, "use_callbacks.png")
    return model


def use_tuning(train, validation, folder):
    from keras_strategies import tuning

    space = tuning.tune_model(network(), epochs=None)
    tuner = tuning.Tuner(
        space,
        "val_accuracy",
        max_trials=16,
        algorithm="random",
        directory=folder,
        seed=1,
    )
    tuner.search(*train, validation_data=validation, epochs=3, verbose=0)
    drawing, ax = figure(height=2.6)
    tuning.plot_history(tuner, ax=ax)
    save(drawing, "use_tuning.png")


def use_export(model, train, test, folder):
    from keras_strategies import export

    result = export.to_tflite(
        model,
        Path(folder) / "m.tflite",
        quantization="int8",
        representative_data=train[0][:300],
        verify=test[0],
        labels=test[1],
    )
    (verdict,) = result.verdicts.values()
    drawing, ax = figure(width=4.2, height=3.4)
    verdict.plot(ax=ax)
    save(drawing, "use_export.png")


def scene(size=96):
    """A house under the sun, as an image in [0, 255]."""
    import numpy as np

    y, x = np.mgrid[:size, :size] / size
    image = np.stack([90 + 60 * y, 150 + 50 * y, 235 - 30 * y], axis=-1)
    image[y > 0.72] = (70, 130, 60)
    image[(x - 0.8) ** 2 + (y - 0.2) ** 2 < 0.1**2] = (250, 210, 60)
    image[(abs(x - 0.42) < 0.2) & (y > 0.48) & (y < 0.82)] = (215, 190, 160)
    image[(y < 0.48) & (y > 0.24 + 0.9 * abs(x - 0.42))] = (160, 60, 45)
    image[(abs(x - 0.36) < 0.06) & (y > 0.62) & (y < 0.82)] = (90, 55, 35)
    image[(abs(x - 0.52) < 0.05) & (abs(y - 0.6) < 0.05)] = (120, 170, 200)
    return image.astype("float32")


def augmentation():
    import keras
    import numpy as np

    from keras_strategies import augmentation as a

    keras.utils.set_random_seed(0)
    range_ = {"value_range": (0, 255), "seed": 3}
    moves = {"rotation_factor": 0.08, "translation_width_factor": 0.15, "seed": 1}
    moves |= {"shear_x_factor": 0.3, "fill_mode": "nearest"}
    layers = {
        "as it is": None,
        "RandomAffine": a.RandomAffine(**moves),
        "RandomGridDistortion": a.RandomGridDistortion(seed=4),
        "RandomColorAffine": a.RandomColorAffine(
            hue_factor=0.3, contrast_factor=0.5, **range_
        ),
        "TrivialAugmentWide": a.TrivialAugmentWide(**range_),
        "GridMask": a.GridMask(factor=1.0, seed=2),
        "RandomCutout": a.RandomCutout(0.35, 0.35, seed=2),
        "RandomMotionBlur": a.RandomMotionBlur(seed=2),
        "RandomISONoise": a.RandomISONoise(**range_),
        "RandomJPEGCompression": a.RandomJPEGCompression((10, 20), **range_),
    }
    drawing, axes = figure(2, 5, height=3.2)
    image = scene()[np.newaxis]
    for ax, (name, layer) in zip(axes.flat, layers.items(), strict=True):
        changed = image if layer is None else layer(image, training=True)
        changed = keras.ops.convert_to_numpy(changed)[0]
        ax.imshow(np.clip(changed, 0, 255).astype("uint8"))
        ax.set_title(name, fontsize=7)
        ax.set_axis_off()
    save(drawing, "augmentation.png")


def study(train):
    from keras_strategies import ablation

    catalog = ablation.catalog("image")
    names = ("rmsprop", "dropout", "label_smoothing", "cosine_decay", "sam")
    strategies = {name: catalog[name] for name in names}
    x, y = train
    result = ablation.study(
        network,
        (x[:400], y[:400]),
        strategies,
        metric="val_accuracy",
        epochs=8,
        seeds=3,
        max_seeds=10,
        seed=0,
        verbose=0,
    )
    drawing, ax = figure(height=2.6)
    result.plot(ax=ax)
    save(drawing, "study.png")


def run(*arguments, killed=False):
    """Returns what a run in a process of its own prints."""
    command = [sys.executable, str(ROOT / "scripts/_docs_runs.py"), *arguments]
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, stdout=subprocess.PIPE, env=environment)
    if (done.returncode != 0) != killed:
        raise RuntimeError(f"{arguments} ended with {done.returncode}")
    return None if killed else json.loads(done.stdout)


def resume(folder):
    """The loss of a training that is killed, by Keras's callback and by ours."""
    names = {"keras": "BackupAndRestore", "ours": "ResumableTraining"}
    drawing, axes = figure(2, 1, width=NARROW, height=4.4, sharex=True, sharey=True)
    for ax, (kind, name) in zip(axes, names.items(), strict=True):
        paths = [f"{folder}/{kind}-{way}" for way in ("whole", "killed")]
        run("resume", kind, paths[0], paths[0] + ".txt", "-1")
        run("resume", kind, paths[1], paths[1] + ".txt", "47", killed=True)
        before = len(steps_of(paths[1]))
        run("resume", kind, paths[1], paths[1] + ".txt", "-1")
        whole, both = steps_of(paths[0]), steps_of(paths[1])
        ax.plot(*zip(*whole, strict=True), color="#c5cae9", lw=6, label="never stopped")
        ax.plot(
            *zip(*both[:before], strict=True), color=GREY, label="until it is killed"
        )
        ax.plot(*zip(*both[before:], strict=True), color=RED, label="run again")
        ax.axvline(47, color="black", lw=0.8, ls=":")
        ax.set_title(name, fontsize=9)
    axes[1].set_xlabel("step", fontsize=9)
    drawing.supylabel("mean loss of the epoch", fontsize=9)
    axes[1].legend(fontsize=8)
    save(drawing, "resume.png")


def steps_of(path):
    return [json.loads(line) for line in Path(path + ".txt").read_text().splitlines()]


def distributed():
    """How far the weights of two devices are from those of one."""
    import numpy as np

    one = np.array(run("distributed", "one"))
    names = {"plain": "plain tf.distribute", "scope": "distributed.scope()"}
    drawing, ax = figure(width=NARROW, height=2.8)
    for (way, name), color in zip(names.items(), (RED, BLUE), strict=True):
        apart = np.linalg.norm(np.array(run("distributed", way)) - one, axis=1)
        ratio = apart / np.linalg.norm(one, axis=1)
        ax.plot(range(1, len(one) + 1), ratio, "o-", color=color, label=name, ms=4)
    ax.axhline(np.finfo("float32").eps, color=GREY, ls=":", label="float32 rounding")
    ax.set(xlabel="epoch", ylabel="distance / norm of weights", yscale="log")
    ax.set_ylim(1e-9, 1)
    ax.legend(fontsize=8, loc="center right")
    save(drawing, "distributed.png")


def accelerated():
    """Recorded rounds of the benchmarks of plans and of the predictor."""
    drawing, axes = figure(2, 1, width=NARROW, height=4.2)
    names = {"training": "training steps / plain fit", "predictor": "calls / predict"}
    for ax, (benchmark, label) in zip(axes, names.items(), strict=True):
        record = json.loads((RESULTS / f"{benchmark}.json").read_text())
        rows = list(record["ratios"].items())[::-1]
        for place, (_, rounds) in enumerate(rows):
            ax.plot(rounds, [place] * len(rounds), "o", color=BLUE, alpha=0.5)
        texts = [name.split(": ")[1].replace(", ", "\n") for name, _ in rows]
        ax.set_yticks(range(len(rows)), texts, fontsize=8)
        ax.axvline(1, color="black", lw=0.8)
        ax.set(xscale="log", ylim=(-0.6, len(rows) - 0.4))
        ax.set_xlabel(f"{label}, times", fontsize=8)
        ax.grid(alpha=0.3)
    for ax, ticks in zip(axes, ((1, 2, 5, 10), (1, 10, 100, 500)), strict=True):
        ax.set_xticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
    save(drawing, "accelerated.png")


def compression(train, validation, test, folder):
    """Size on the wire and accuracy of the ways to make one network smaller."""
    import keras
    import numpy as np
    from scipy.stats import binomtest

    from keras_strategies import compression as c
    from keras_strategies import export

    def fitted(model, epochs):
        model.fit(*train, epochs=epochs, validation_data=validation, verbose=0)
        return model

    def copy_of(model):
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        copy.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return copy

    base = fitted(network(), 20)
    steps = 10 * -(-len(train[0]) // 32)
    half = c.prune_filters(base, 0.5)
    half.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    pruned = copy_of(base)
    c.prune(pruned, c.PolynomialSparsity(0.0, 0.8, 0, steps // 2, frequency=10))
    clustered = copy_of(base)
    c.cluster(clustered, 16)
    rows = {
        "float32": (base, None),
        "int8": (base, "int8"),
        "prune 80 %, int8": (c.strip(fitted(pruned, 10)), "int8"),
        "cluster 16, int8": (c.strip(fitted(clustered, 10)), "int8"),
        "prune_filters 0.5, int8": (fitted(half, 10), "int8"),
    }
    sizes, shares = [], []
    for name, (model, quantization) in rows.items():
        data = train[0][:300] if quantization else None
        path = Path(folder) / f"{len(sizes)}.tflite"
        file = export.to_tflite(
            model,
            path,
            quantization=quantization or "float32",
            representative_data=data,
        )
        answers = export.TFLiteModel(path).predict(test[0], verbose=0)
        correct = int((np.argmax(answers, axis=-1) == test[1]).sum())
        interval = binomtest(correct, len(test[1])).proportion_ci(method="wilson")
        sizes.append(len(gzip.compress(Path(file.path).read_bytes())) / 1024)
        shares.append((correct / len(test[1]), interval.low, interval.high))
        print(f"{name}: {sizes[-1]:.1f} kB, {shares[-1][0]:.3f}")
    drawing, (top, bottom) = figure(2, 1, width=NARROW, height=4.2)
    places = range(len(rows))
    top.barh(places, sizes, color=BLUE)
    top.bar_label(top.containers[0], fmt="%.1f", fontsize=8, padding=2)
    for ax in (top, bottom):
        ax.set_yticks(places, rows, fontsize=8)
        ax.set_ylim(len(rows) - 0.4, -0.6)
    top.set_xlim(0, max(sizes) * 1.2)
    top.set_xlabel("kB, gzipped", fontsize=8)
    for place, (share, low, high) in zip(places, shares, strict=True):
        bottom.plot([100 * low, 100 * high], [place] * 2, color=BLUE)
        bottom.plot(100 * share, place, "o", color=BLUE)
    bottom.set_xlabel(f"accuracy of the file on {len(test[1])} digits, %", fontsize=8)
    bottom.grid(alpha=0.3)
    save(drawing, "compression.png")


def recipe_pictures():
    """A forecast of steps that a recipe has not seen."""
    import numpy as np

    from keras_strategies import recipes

    steps = np.arange(1100)
    noise = np.random.default_rng(0).normal(scale=0.15, size=len(steps))
    series = np.sin(steps / 4) + 0.5 * np.sin(steps / 11) + noise
    ahead, window, seen = 12, 48, 1000
    recipe = recipes.time_series(
        series[:seen], window=window, horizon=ahead, network="conv", units=16, epochs=15
    )
    history = recipe.model.fit(**recipe.fit_arguments, verbose=0).history
    starts = range(seen, len(steps) - ahead)
    windows = np.stack([series[start - window : start] for start in starts])
    truth = np.stack([series[start : start + ahead] for start in starts])
    forecasts = recipe.model.predict(windows[..., None], verbose=0)[..., 0]
    stay = np.repeat(windows[:, -1:], ahead, axis=1)
    drawing, (top, bottom) = figure(2, 1, width=NARROW, height=4.4)
    shown = steps[seen - 24 : seen + ahead]
    top.plot(shown, series[shown], color=GREY, label="series")
    top.plot(range(seen, seen + ahead), forecasts[0], color=RED, label="forecast")
    top.axvline(seen, color="black", lw=0.8, ls=":")
    top.set_xlabel("step", fontsize=8)
    top.legend(fontsize=8)
    for name, values, color in (
        ("nothing changes", stay, GREY),
        ("recipe", forecasts, RED),
    ):
        error = np.abs(values - truth).mean(axis=0)
        bottom.plot(range(1, ahead + 1), error, "o-", ms=3, color=color, label=name)
    bottom.axhline(
        0.15 * np.sqrt(2 / np.pi), color="black", lw=0.8, ls=":", label="noise"
    )
    bottom.set_xlabel("steps ahead", fontsize=8)
    bottom.set_ylabel("mean absolute error", fontsize=8)
    bottom.set_ylim(0)
    bottom.legend(fontsize=8)
    print(f"recipe: {len(history['loss'])} epochs")
    save(drawing, "recipe.png")


def main(names):
    IMAGES.mkdir(exist_ok=True)
    train, validation, test = digits()
    with tempfile.TemporaryDirectory() as folder:
        drawings = {
            "schedules": schedules,
            "augmentation": augmentation,
            "study": lambda: study(train),
            "uses": lambda: uses(train, validation, test, folder),
            "resume": lambda: resume(folder),
            "distributed": distributed,
            "accelerated": accelerated,
            "compression": lambda: compression(train, validation, test, folder),
            "recipe": recipe_pictures,
        }
        for name in names or drawings:
            drawings[name]()
    for path in sorted(IMAGES.glob("*.png")):
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} kB")
    return 0


def uses(train, validation, test, folder):
    model = use_callbacks(train, validation)
    use_export(model, train, test, folder)
    use_tuning(train, validation, folder)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
