"""Draws the pictures of the documentation into docs/images.

    .venv/bin/python scripts/docs_pictures.py

Everything is seeded; the pictures change only with what they show.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
STEPS = 100


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


def main():
    train, validation, test = digits()
    IMAGES.mkdir(exist_ok=True)
    schedules()
    augmentation()
    study(train)
    model = use_callbacks(train, validation)
    with tempfile.TemporaryDirectory() as folder:
        use_export(model, train, test, folder)
        use_tuning(train, validation, folder)
    for path in sorted(IMAGES.glob("*.png")):
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
