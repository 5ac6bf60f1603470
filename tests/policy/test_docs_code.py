"""The code blocks of the documentation run, page by page, in their order.

A page's blocks share one namespace, as a reader would type them. `model`, `x_train` and
what else a page takes for granted come from `_names`. A block that cannot run here has
a comment above it, `<!-- not run: the reason -->`, and is compiled all the same.
"""

import re

import keras
import numpy as np
import pytest

import keras_strategies
from tests.policy.sources import ROOT

DOCS = ROOT / "docs"
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^```python\n(?P<code>.*?)^```",
    re.M | re.S,
)
PAGES = sorted(
    str(path.relative_to(DOCS))
    for path in DOCS.rglob("*.md")
    if "```python" in path.read_text(encoding="utf-8")
)
# Pages whose blocks take seconds; their parts have tests of their own.
SLOW = {
    "compression.md",
    "distillation.md",
    "explain.md",
    "export.md",
    "fine_tuning.md",
    "guides/callbacks_on_my_model.md",
    "guides/compress.md",
    "guides/cross_validation.md",
    "guides/early_stopping.md",
    "guides/faster.md",
    "guides/imbalance.md",
    "hyperopt.md",
    "index.md",
    "tuning.md",
}


def blocks(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    return [(match["code"], match["reason"]) for match in BLOCK.finditer(text)]


def test_reasons_are_rare():
    every = [reason for page in PAGES for _, reason in blocks(page)]
    assert sum(reason is not None for reason in every) <= len(every) / 4


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) / 16).astype("float32")
    y = y.astype("int32")
    return {
        "x_train": x[:256],
        "y_train": y[:256],
        "x_val": x[256:384],
        "y_val": y[256:384],
        "x_test": x[384:684],
        "y_test": y[384:684],
        "x": x[:256],
        "y": y[:256],
    }


def classifier(*names):
    first, second, last = names or ("hidden", "features", "digit")
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu", name=first),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu", name=second),
            keras.layers.Dense(10, activation="softmax", name=last),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class _History:
    """Stands for the result of a training; each has another loss."""

    def __init__(self):
        self.random = np.random.default_rng(0)

    @property
    def history(self):
        return {"val_loss": list(self.random.random(2))}


def _searches(digits):
    """A build function, and a tuner of it that has run a trial."""
    tuning = keras_strategies.tuning

    def build(hp):
        hidden = [
            keras.layers.Dense(hp.Int("units", 8, 64), activation="relu")
            for _ in range(hp.Int("layers", 1, 2))
        ]
        head = [keras.layers.Flatten(), *hidden, keras.layers.Dense(10, "softmax")]
        model = keras.Sequential([keras.Input((8, 8, 1)), *head])
        rate = hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        return model

    tuner = tuning.Tuner(build, "val_loss", max_trials=1, project_name="earlier")
    validation = digits["x_val"], digits["y_val"]
    data = digits["x_train"], digits["y_train"]
    tuner.search(*data, validation_data=validation, epochs=1, verbose=0)
    return {"tuning": tuning, "build": build, "tuner": tuner, "earlier_tuner": tuner}


def _names(page, digits):
    names = {"__name__": "page", "keras": keras, "np": np, **digits}
    names["model"] = classifier()
    if page == "export.md":
        names["model"] = classifier("attention", "head", "detections")
    if page == "distillation.md":
        names["teacher"], names["student"] = classifier(), classifier()
    if page == "explain.md":
        names["x_validation"] = np.random.default_rng(1).random((32, 24, 24, 1))
        names["y_validation"] = np.arange(32) % 10
    if page == "hyperopt.md":  # what stands for the reader's training, `...`
        names |= {"history": _History(), "loss": 0.5, "epoch": 1}
        names |= {"optuna": pytest.importorskip("optuna")}
        names["tuning"] = keras_strategies.tuning
    if page == "tuning.md":
        names |= {"optuna": pytest.importorskip("optuna"), **_searches(digits)}
    if page == "fine_tuning.md":
        body = [
            keras.layers.Conv2D(4, 3, padding="same", name="block_4"),
            keras.layers.Conv2D(4, 3, padding="same", name="block_5_conv"),
            keras.layers.BatchNormalization(name="block_5_norm"),
        ]
        backbone = keras.Sequential([keras.Input((8, 8, 1)), *body], name="backbone")
        head = [keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
        names["model"] = keras.Sequential([keras.Input((8, 8, 1)), backbone, *head])
        names["model"].compile("adam", "sparse_categorical_crossentropy")
        names["training"] = keras_strategies.training  # of the block before
        names["is_norm"] = lambda layer: "norm" in layer.name
    return names


@pytest.fixture
def few_epochs(page):
    if page.startswith("guides/"):  # short as they stand
        yield
        return
    before = keras.config.max_epochs()
    keras.config.set_max_epochs(2)
    yield
    keras.config.set_max_epochs(before)


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=[pytest.mark.slow] * (p in SLOW)) for p in PAGES]
)
@pytest.mark.usefixtures("few_epochs")
@pytest.mark.filterwarnings("ignore:Limiting epochs:UserWarning")
# Elsewhere ignored: here a reader would copy what prunes nothing.
@pytest.mark.filterwarnings("error:Pruning has reached a sparsity:UserWarning")
# What `compress` says of the small data of its page, which prints the reason.
@pytest.mark.filterwarnings("ignore:The budget is not met:UserWarning")
def test_page_runs(page, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    keras.utils.set_random_seed(0)
    names = _names(page, digits)
    for number, (code, reason) in enumerate(blocks(page)):
        program = compile(code, f"<{page}, block {number + 1}>", "exec")
        if reason is None:
            exec(program, names)
    if "matplotlib" in str(names):
        import matplotlib.pyplot

        matplotlib.pyplot.close("all")
