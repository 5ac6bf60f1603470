"""initialization_report against NumPy; zero_gamma on graphs."""

import pathlib
import re

import keras
import matplotlib.figure
import numpy as np
import pytest
from keras import ops

from keras_strategies.initializers import initialization_report, zero_gamma
from tests.markers import slow_on_jax

X = np.random.default_rng(0).normal(size=(32, 16)).astype("float32")


def _dense(depth, activation, initializer, units=16):
    stack = [
        keras.layers.Dense(units, activation=activation, kernel_initializer=initializer)
        for _ in range(depth)
    ]
    return keras.Sequential([keras.Input((16,)), *stack, keras.layers.Dense(3)])


def test_moments_are_those_of_numpy():
    model = keras.Sequential(
        [
            keras.Input((16,)),
            keras.layers.Dense(8, activation="tanh"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    report = initialization_report(model, X)
    w1, _, w2, _ = model.get_weights()
    hidden = np.tanh(X @ w1)
    logits = hidden @ w2
    outputs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for row, values in zip(report.rows, (hidden, outputs), strict=True):
        assert row["mean"] == pytest.approx(values.mean(), abs=1e-5)
        assert row["std"] == pytest.approx(values.std(), rel=1e-4)
    # The numbers at the outputs, before the softmax, are drawn with a fixed seed.
    r = ops.convert_to_numpy(keras.random.normal((32, 3), seed=1))
    gradients = [(r @ w2.T) * (1 - hidden**2), r]
    for row, values in zip(report.rows, gradients, strict=True):
        assert row["gradient_mean"] == pytest.approx(values.mean(), abs=1e-5)
        assert row["gradient_std"] == pytest.approx(values.std(), rel=1e-4)
        norm = np.sqrt((values**2).sum() / 32)
        assert row["gradient_norm"] == pytest.approx(norm, rel=1e-4)
    assert report.input_std == pytest.approx(X.std(), rel=1e-5)
    assert [row["activation"] for row in report.rows] == ["tanh", "softmax"]
    assert report.warnings == []


@slow_on_jax
def test_explosions_and_vanishing_are_named_where_they_begin():
    small = keras.initializers.RandomNormal(stddev=0.02, seed=1)
    report = initialization_report(_dense(5, "relu", small), X)
    assert report.rows[-1]["notes"] == ["activations vanish"]
    assert report.rows[0]["notes"] == ["gradients vanish"]
    large = keras.initializers.RandomNormal(stddev=2.0, seed=1)
    report = initialization_report(_dense(5, "relu", large), X)
    assert report.rows[-1]["notes"] == ["activations explode"]
    assert "gradients explode" in report.rows[0]["notes"]
    good = initialization_report(_dense(5, "relu", "he_normal"), X)
    assert good.warnings == []
    table = report.table()
    assert "recommended" in table and "activations explode" in table
    assert "activations" not in good.table()
    assert all(row["layer"] in table for row in report.rows)
    broken = _dense(1, "relu", "ones")
    broken.set_weights([np.full_like(w, np.nan) for w in broken.get_weights()])
    # The gradient at the last layer is what was put in.
    assert len(initialization_report(broken, X).warnings) == 3


def test_report_has_inputs_and_outputs_a_plot_and_files(tmp_path):
    report = initialization_report(_dense(3, "tanh", "glorot_uniform"), X)
    names = [row["layer"] for row in report.rows]
    assert len(names) == 4 and all(re.fullmatch(r"dense(_\d+)?", n) for n in names)
    lines = report.table().splitlines()
    assert lines[2].split() == ["(inputs)", "-", f"{report.input_std:.3g}"] + ["-"] * 6
    assert lines[-1].split()[0] == "(outputs)"
    assert f"{report.output_norm:.3g}" in lines[-1]
    data = report.to_dict()
    assert data["output_norm"] == report.output_norm and data["warnings"] == []
    assert list(report.to_dataframe()["layer"]) == [r["layer"] for r in report.rows]
    axes = report.plot(ax=matplotlib.figure.Figure().subplots())
    first, reference = axes.get_lines()[:2]
    assert list(first.get_xdata()) == [row["std"] for row in report.rows]
    assert set(reference.get_xdata()) == {report.input_std}
    page = report.save_report(tmp_path / "report.html")
    assert "data:image/png" in pathlib.Path(page).read_text()


class _Net(keras.Model):
    """Everything that keeps a state, and activations in every place."""

    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv1D(
            4, 3, padding="same", activity_regularizer="l2", use_bias=False
        )
        self.norm = keras.layers.BatchNormalization()
        self.act = keras.layers.Activation("selu")
        self.drop = keras.layers.Dropout(0.5, seed=1)
        self.shared = keras.layers.Dense(4, activation=keras.layers.LeakyReLU())
        self.rnn = keras.layers.SimpleRNN(3, kernel_initializer="he_uniform")
        self.lost = keras.layers.Dense(2)
        self.head = keras.layers.Dense(2)

    def call(self, inputs, training=None):
        x = self.act(self.norm(self.conv(inputs), training=training))
        x = self.shared(self.shared(self.drop(x, training=training)))
        return self.head(ops.relu(self.lost(self.rnn(x))))


@pytest.fixture(scope="module")
def net():
    model = _Net()
    x = X[:8, :5, None]
    model(x)
    return model, x


@slow_on_jax
def test_recommendations_and_no_side_effects(net):
    model, x = net
    before = [ops.convert_to_numpy(v) for v in model.variables]
    losses = model.losses
    dicts = [dict(vars(layer)) for layer in model._flatten_layers()]
    report = initialization_report(model, x)
    again = initialization_report(model, x)
    assert report.rows == again.rows
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(new), old)
    assert len(losses) == 1 and model.losses[0] is losses[0]
    for layer, old in zip(model._flatten_layers(), dicts, strict=True):
        assert vars(layer).keys() == old.keys()
        assert all(vars(layer)[key] is old[key] for key in ("call",) if key in old)
    found = {row["layer"].split("/")[-1]: row for row in report.rows}
    chosen = [
        (row["activation"], row["initializer"], row["recommended"])
        for row in found.values()
    ]
    assert chosen == [
        ("selu", "GlorotUniform", "lecun_normal"),
        ("leaky_relu", "GlorotUniform", "he_normal"),
        ("tanh", "HeUniform", "glorot_uniform"),
        ("?", "GlorotUniform", None),
        ("linear", "GlorotUniform", "glorot_uniform"),
    ]


@slow_on_jax
def test_bad_arguments_are_refused(net):
    model, x = net
    with pytest.raises(ValueError, match="`limit` must be"):
        initialization_report(model, x, limit=1.0)
    with pytest.raises(ValueError, match="must be built"):
        initialization_report(keras.Sequential([keras.layers.Dense(2)]), X)
    plain = keras.Sequential([keras.Input((16,)), keras.layers.ReLU()])
    with pytest.raises(ValueError, match="layers with kernels"):
        initialization_report(plain, X)


def _block(x, name, shortcut=False, last="norm"):
    y = keras.layers.Dense(4, name=f"{name}_a")(x)
    y = keras.layers.BatchNormalization(name=f"{name}_n1")(y)
    y = keras.layers.Dense(4, name=f"{name}_b")(keras.layers.ReLU()(y))
    if last == "norm":
        y = keras.layers.BatchNormalization(name=f"{name}_n2")(y)
        y = keras.layers.Dropout(0.1)(y)
    if shortcut:
        x = keras.layers.Dense(4, name=f"{name}_s")(x)
        x = keras.layers.BatchNormalization(name=f"{name}_n0")(x)
    return keras.layers.ReLU()(keras.layers.Add()([x, y]))


def test_zero_gamma_finds_the_last_scale_of_each_branch():
    inputs = keras.Input((4,))
    inner_in = keras.Input((4,))
    inner = keras.Model(inner_in, _block(inner_in, "inner"), name="part")
    x = _block(inputs, "first", shortcut=True)
    x = _block(inner(x), "second", last="dense")
    left, right = keras.layers.Dense(4)(x), keras.layers.Dense(4)(x)
    norms = [keras.layers.BatchNormalization()(part) for part in (left, right)]
    model = keras.Model(inputs, norms[0] + norms[1])
    found = zero_gamma(model)
    assert sorted(path.split("/")[-2] for path in found) == ["first_n2", "inner_n2"]
    for layer in (*model.layers, *inner.layers):
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma = ops.convert_to_numpy(layer.gamma)
            is_zero = any(f"{layer.name}/" in path for path in found)
            assert (gamma == (0 if is_zero else 1)).all()
    # The block is the identity now, but for its last activation.
    np.testing.assert_allclose(
        ops.convert_to_numpy(inner(X[:, :4])), np.maximum(X[:, :4], 0), atol=1e-6
    )
    assert zero_gamma(model, include="inner") == ["part/inner_n2/gamma"]
    assert zero_gamma(model, exclude=inner) == ["first_n2/gamma"]
    for arguments in ({"include": "second"}, {"include": "["}, {"exclude": ".*"}):
        with pytest.raises(ValueError, match="must"):
            zero_gamma(model, **arguments)
