"""The catalog: what each strategy changes, where it refuses, and its code."""

import keras
import numpy as np
import pytest

from keras_strategies import ablation, layers, optimizers
from keras_strategies.ablation import _code, _preparation
from keras_strategies.ablation._catalog import models
from keras_strategies.ablation._runs import applying
from keras_strategies.ablation._runs.samples import Samples
from keras_strategies.ablation._runs.training import Job, prepare, train
from tests.ablation import networks

CATALOG = ablation.catalog()
IMAGES = [name for name in CATALOG if name not in ("eda", "stochastic_depth")]
kl = keras.layers
# Keras's MixUp asks JAX for int64, which it does not have.
pytestmark = pytest.mark.filterwarnings("ignore:.*Explicitly requested dtype int64")


def images(count=90):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(count, 8, 8, 1)).astype("float32")
    return x, (np.arange(count) % 3).astype("int32")


def cnn(optimizer=None):
    stack = [keras.Input((8, 8, 1)), kl.Conv2D(4, 3, activation="relu")]
    stack += [kl.Flatten(), kl.Dense(8, activation="relu"), kl.Dense(3, "softmax")]
    model = keras.Sequential(stack)
    model.compile(optimizer or "adam", networks.LOSS, metrics=["accuracy"])
    return model


def residual():
    inputs = keras.Input((8, 8, 1))
    x = kl.Conv2D(4, 3, padding="same", activation="relu", name="stem")(inputs)
    branch = kl.Conv2D(4, 3, padding="same", name="branch")(x)
    x = kl.Activation("relu", name="after")(kl.Add()([x, branch]))
    outputs = kl.Dense(3, name="head")(kl.GlobalAveragePooling2D(name="pool")(x))
    model = keras.Model(inputs, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model


def nested():
    inputs = keras.Input((8, 8, 1))
    x = kl.Conv2D(4, 3, activation="relu", name="conv")(inputs)
    backbone = keras.Model(inputs, x, name="backbone")
    outer = keras.Input((8, 8, 1))
    pooled = kl.GlobalAveragePooling2D()(backbone(outer))
    model = keras.Model(outer, kl.Dense(3, "softmax", name="head")(pooled))
    model.compile("adam", networks.LOSS, metrics=["accuracy"])
    return model


def setup(build_fn=cnn, data=None, **options):
    data = images() if data is None else data
    return networks.setup(build_fn, dict(CATALOG), data, **options)


def prepared(name, build_fn=cnn, **options):
    work = setup(build_fn, **options)
    with applying.clean_keras(work.keras_settings):
        return prepare(work, Job((name,), 0), work.splits.of(0))


def test_each_says_what_why_and_where_from():
    for name, strategy in CATALOG.items():
        assert strategy.name == name
        assert 20 < len(strategy.why) < 90 and strategy.source, name
        assert strategy.code is not None and strategy.changes, name


def test_tasks():
    names = {task: set(ablation.catalog(task)) for task in ("image", "text", "tabular")}
    assert "mixup" in names["image"] and "mixup" not in names["text"]
    assert "eda" in names["text"] and "eda" not in names["tabular"]
    assert names["tabular"] < names["image"]
    assert ablation.catalog() is not ablation.catalog()
    with pytest.raises(ValueError, match="`task` must be one of"):
        ablation.catalog("audio")


@pytest.mark.parametrize("name", IMAGES)
def test_it_applies_and_its_code_does_the_same(name, monkeypatch):
    """The lines of `code` lead to the same model, optimizer, callbacks and fit."""
    ours = prepared(name, epochs=10, batch_size=32)
    caught = {}

    def fit(model, *data, **arguments):
        caught.update(arguments, model=model, data=data)

    monkeypatch.setattr(keras.Model, "fit", fit)
    keras.utils.clear_session(free_memory=False)
    x, y = images()
    scope = {"model": cnn(), "x_train": x, "y_train": y, "x_val": x, "y_val": y}
    samples = Samples(x, y)
    text = _code.script([CATALOG[name]], scope["model"], samples, 10, 32)
    exec(compile(text, f"<{name}>", "exec"), scope)
    theirs = caught["model"]
    assert without_names(theirs.get_config()) == without_names(ours.model.get_config())
    assert settings(theirs) == settings(ours.model)
    kinds = [type(c) for c in caught["callbacks"]]
    assert kinds == [type(c) for c in ours.callbacks]
    assert caught["epochs"] == ours.arguments["epochs"] == 10
    mine = ours.data[0]
    if len(caught["data"]) == 1:  # a dataset of changed batches
        first = next(iter(caught["data"][0]))
    else:
        size = caught["batch_size"]
        first = tuple(part[:size] for part in caught["data"])
    for a, b in zip(mine, first, strict=True):
        assert np.shape(a)[1:] == np.shape(b)[1:]
    assert len(mine[0]) == len(first[0]) or len(first[0]) == 90


def without_names(config):
    """A model's config without names and seeds, which differ from run to run."""
    if isinstance(config, dict):
        skipped = ("name", "seed", "build_config", "shared_object_id", "rng_seed")
        return {k: without_names(v) for k, v in config.items() if k not in skipped}
    if isinstance(config, list | tuple):
        return [without_names(item) for item in config]
    return config


def settings(model):
    config = without_names(keras.optimizers.serialize(model.optimizer))
    loss = model.loss if isinstance(model.loss, str) else type(model.loss).__name__
    return config, loss


def layer_kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_where_layers_go():
    model = prepared("dropout").model
    assert layer_kinds(model)[-2:] == ["Dropout", "Dense"]
    kinds = layer_kinds(prepared("batch_normalization").model)
    assert kinds.count("BatchNormalization") == 2
    deep = prepared("stochastic_depth", residual).model
    names = [layer.name for layer in deep.layers]
    after = names[names.index("branch") + 1]
    assert isinstance(deep.get_layer(after), layers.StochasticDepth)
    pooled = prepared("dropout", residual).model
    names = [layer.name for layer in pooled.layers]
    assert isinstance(pooled.layers[names.index("pool") + 1], kl.Dropout)


def test_heads_and_hidden_layers():
    model = residual()
    assert [call.path for call in models.heads(model)] == ["head"]
    assert list(models.hidden(model)) == ["stem", "branch"]
    assert models.before_head(model) == "pool"
    assert list(models.hidden(nested())) == ["backbone/conv"]


def test_penalties_are_in_the_loss():
    assert len(prepared("l2").model.losses) == 3


def test_activations_of_hidden_layers_only():
    model = prepared("gelu").model
    found = [
        layer.activation.__name__ for layer in model.layers[:1] + model.layers[-2:]
    ]
    assert found == ["gelu", "gelu", "softmax"]
    deep = prepared("swish", nested).model
    assert deep.get_layer("backbone").get_layer("conv").activation.__name__ == "silu"
    text = CATALOG["swish"].code(nested(), 10)["model"]
    assert "model.get_layer('backbone').get_layer('conv')" in text


def test_initial_weights():
    before = prepared("cosine_decay").model.get_weights()
    after = prepared("he_init").model.get_weights()
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [True, False, True, False, False, False]


def test_optimizers_take_over_the_rate_where_it_means_the_same():
    adamw = prepared("adamw", lambda: cnn(keras.optimizers.Adam(0.02))).model.optimizer
    assert float(adamw.learning_rate) == pytest.approx(0.02)
    adamw = prepared("adamw", lambda: cnn(keras.optimizers.SGD(0.5))).model.optimizer
    assert float(adamw.learning_rate) == pytest.approx(0.001)
    momentum = prepared("momentum", lambda: cnn(keras.optimizers.SGD(0.5)))
    assert float(momentum.model.optimizer.learning_rate) == pytest.approx(0.5)
    assert momentum.model.optimizer.momentum == 0.9
    clip = prepared("adaptive_clip").model.optimizer
    assert isinstance(clip, optimizers.GradientTransform)


def test_labels_become_soft():
    found = prepared("mixup")
    images_, labels = found.data[0]
    assert labels.shape[1] == 3 and found.validation.y.shape[1] == 3
    np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)
    assert isinstance(found.model.loss, keras.losses.CategoricalCrossentropy)
    logits = prepared("cutmix", residual).model.loss
    assert logits.get_config()["from_logits"]


def test_changed_copies_of_tokens():
    x = np.array([[3, 4, 5, 6, 0, 0]] * 40, "int32")
    y = (np.arange(40) % 2).astype("int32")

    def texts():
        stack = [keras.Input((6,), dtype="int32"), kl.Embedding(9, 4)]
        stack += [kl.GlobalAveragePooling1D(), kl.Dense(2, "softmax")]
        model = keras.Sequential(stack)
        model.compile("adam", networks.LOSS, metrics=["accuracy"])
        return model

    work = networks.setup(texts, dict(CATALOG), (x, y))
    with applying.clean_keras(work.keras_settings):
        found = prepare(work, Job(("eda",), 0), work.splits.of(0))
    rows = len(work.splits.of(0).training)
    tokens = np.concatenate([found.data[i][0] for i in range(len(found.data))])
    assert len(tokens) == 3 * rows
    assert {tuple(row[row > 0]) for row in tokens} > {(3, 4, 5, 6)}
    assert set(np.unique(tokens)) == {0, 3, 4, 5, 6}
    scope = {"x_train": x, "y_train": y}
    lines = CATALOG["eda"].code(texts(), 3)
    exec(f"import keras\n{lines['imports']}\n{lines['data']}", scope)
    assert scope["x_train"].shape == (120, 6) and len(scope["y_train"]) == 120


def scheduled():
    rate = keras.optimizers.schedules.CosineDecay(0.1, 100)
    return cnn(keras.optimizers.SGD(rate))


def subclassed():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = kl.Dense(3, "softmax")

        def call(self, x):
            return self.dense(keras.ops.reshape(x, (-1, 64)))

    model = Own()
    model.compile("adam", networks.LOSS, metrics=["accuracy"])
    return model


def regression():
    model = keras.Sequential([keras.Input((8, 8, 1)), kl.Flatten(), kl.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize(
    ("name", "build_fn", "reason"),
    [
        ("stochastic_depth", cnn, "no residual block"),
        ("eda", cnn, "neither texts nor token numbers"),
        ("cosine_decay", scheduled, "follows a learning-rate schedule already"),
        ("one_cycle", scheduled, "schedule already"),
        ("adamw", lambda: cnn("adamw"), "is AdamW already"),
        ("gelu", subclassed, "no graph"),
        ("dropout", subclassed, "no graph"),
        ("label_smoothing", regression, "no cross-entropy"),
        ("mixup", regression, "categorical cross-entropy"),
        ("dropout", lambda: prepared("dropout").model, "dropout already"),
        (
            "batch_normalization",
            lambda: prepared("batch_normalization").model,
            "batch normalization already",
        ),
        ("clip_norm", lambda: cnn(keras.optimizers.SGD(clipnorm=1.0)), "clips"),
        ("he_init", regression, "no hidden layer"),
    ],
)
def test_it_says_why_it_cannot_be_applied(name, build_fn, reason):
    metric = "mae" if build_fn is regression else "accuracy"
    work = setup(build_fn, metric=metric)
    assert reason in _preparation.not_applicable(work, name)


def test_images_are_needed():
    work = networks.setup(changes=dict(CATALOG))
    for name in ("random_affine", "mixup", "random_erasing"):
        assert "no images" in _preparation.not_applicable(work, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*IMAGES, "stochastic_depth"])
def test_it_trains(name):
    build_fn = residual if name == "stochastic_depth" else cnn
    record = train(setup(build_fn), Job((name,), 0))
    assert "error" not in record, record
    assert 0 <= record["value"] <= 1
