"""Which weights of which layers are pruned, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_strategies.compression import ConstantSparsity, prune, sparsity_report, strip
from tests.compression.common import fit, mlp, values

HALF = ConstantSparsity(0.5, begin_step=0)


def model_of(layer, shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(inputs))


def paths(model):
    return [row["weight"].partition("/")[2] for row in sparsity_report(model).rows]


KINDS = [
    (lambda: layers.Dense(3), (4,), ["kernel"]),
    (lambda: layers.EinsumDense("ab,bc->ac", 3), (4,), ["kernel"]),
    (lambda: layers.Conv1D(2, 3), (6, 2), ["kernel"]),
    (lambda: layers.Conv2D(2, 3), (6, 6, 2), ["kernel"]),
    (lambda: layers.Conv3D(2, 3), (4, 4, 4, 2), ["kernel"]),
    (lambda: layers.Conv1DTranspose(2, 3), (6, 2), ["kernel"]),
    (lambda: layers.Conv2DTranspose(2, 3), (6, 6, 2), ["kernel"]),
    (lambda: layers.Conv3DTranspose(2, 3), (4, 4, 4, 2), ["kernel"]),
    (lambda: layers.SeparableConv1D(3, 3), (6, 2), ["pointwise_kernel"]),
    (lambda: layers.SeparableConv2D(3, 3), (6, 6, 2), ["pointwise_kernel"]),
    (lambda: layers.Embedding(5, 4), (3,), ["embeddings"]),
    (
        lambda: layers.SimpleRNN(3),
        (4, 2),
        ["simple_rnn_cell/kernel", "simple_rnn_cell/recurrent_kernel"],
    ),
    (
        lambda: layers.LSTM(3),
        (4, 2),
        ["lstm_cell/kernel", "lstm_cell/recurrent_kernel"],
    ),
    (
        lambda: layers.Bidirectional(layers.GRU(3)),
        (4, 2),
        [
            "backward_gru/gru_cell/kernel",
            "backward_gru/gru_cell/recurrent_kernel",
            "forward_gru/gru_cell/kernel",
            "forward_gru/gru_cell/recurrent_kernel",
        ],
    ),
    (lambda: layers.TimeDistributed(layers.Dense(3)), (4, 2), ["dense/kernel"]),
]


@pytest.mark.parametrize(
    ("make", "shape", "expected"), KINDS, ids=lambda v: str(v)[:12]
)
def test_weights_that_are_found(make, shape, expected):
    assert sorted(paths(model_of(make(), shape))) == expected


def test_attention_has_its_four_projections():
    inputs = keras.Input((4, 6))
    attention = layers.MultiHeadAttention(2, 3)
    model = keras.Model(inputs, attention(inputs, inputs))
    names = sorted(path.split("/")[-2] for path in paths(model))
    assert names == ["attention_output", "key", "query", "value"]


def test_small_and_sensitive_weights_are_left_alone():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.DepthwiseConv2D(3),
            layers.BatchNormalization(),
            layers.LayerNormalization(),
            layers.PReLU(),
        ]
    )
    with pytest.raises(ValueError, match="must have weights that can be") as caught:
        prune(model, HALF)
    assert "depthwise_conv2d (DepthwiseConv2D)" in str(caught.value)
    assert sparsity_report(model).rows == []
    assert sparsity_report(model).sparsity == 0


def test_every_kind_reaches_its_target_in_training():
    """Recurrent, embedded, attending and convolving at once, nested two deep."""
    tokens = keras.Input((6,), dtype="int32")
    x = layers.Embedding(10, 8)(tokens)
    x = layers.MultiHeadAttention(2, 4)(x, x)
    inner_input = keras.Input((6, 8))
    y = layers.SeparableConv1D(8, 3, padding="same")(inner_input)
    y = layers.Conv1D(6, 3)(y)
    inner = keras.Model(inner_input, y, name="inner")
    middle = keras.Sequential([keras.Input((6, 8)), inner], name="middle")
    x = layers.Bidirectional(layers.LSTM(4))(middle(x))
    model = keras.Model(tokens, layers.Dense(2)(x))
    model.compile("sgd", "mse")
    prune(model, HALF)
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 10, (16, 6)), rng.normal(size=(16, 2)).astype("float32")
    model.fit(x, y, batch_size=8, verbose=0)
    rows = sparsity_report(model).rows
    assert len(rows) == 1 + 4 + 1 + 1 + 4 + 1
    for row in rows:
        assert row["pruned"]
        assert row["sparsity"] == pytest.approx(0.5, abs=1 / row["parameters"]), row


def test_only_by_pattern_and_by_function_with_two_schedules():
    model = mlp("sgd")
    prune(model, ConstantSparsity(0.75, begin_step=0), include=r"dense/kernel$")
    prune(model, HALF, include=lambda layer: layer.units == 4)
    fit(model, 1)
    assert [row["sparsity"] for row in sparsity_report(model).rows] == [0.75, 0.5]
    strip(model)
    assert not any(row["pruned"] for row in sparsity_report(model).rows)


def test_shared_layer_counts_once():
    shared = layers.Dense(4)
    inputs = keras.Input((4,))
    model = keras.Model(inputs, shared(shared(inputs)))
    prune(model, HALF)
    assert len(sparsity_report(model).rows) == 1


class Gate(layers.Layer):
    """Names its weights by a method; the second is left alone."""

    def build(self, shape):
        self.mix = self.add_weight(shape=(shape[-1], shape[-1]), name="mix")
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")

    def call(self, x):
        return keras.ops.matmul(x, self.mix) * self.scale

    def prunable_weights(self):
        return [self.mix]


class Whole(keras.Model):
    """A subclassed model with a weight of its own."""

    def __init__(self):
        super().__init__()
        self.gate, self.out = Gate(), layers.Dense(4)

    def build(self, shape):
        self.gate.build(shape)
        self.out.build(shape)
        self.shift = self.add_weight(shape=(shape[-1], 2), name="shift")
        self.prunable_weights = [self.shift]

    def call(self, x):
        return self.out(self.gate(x)) + keras.ops.sum(self.shift)


def test_subclassed_model_and_custom_layer():
    model = Whole()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must be built") as caught:
        prune(model, HALF)
    assert "unbuilt_layers=['gate', 'dense']" in str(caught.value)
    model.build((None, 12))
    prune(model, HALF)
    fit(model, 1)
    names = sorted(path.split("/")[-1] for path in paths(model))
    assert names == ["kernel", "mix", "shift"]
    assert sparsity_report(model).sparsity == 0.5


def test_declaring_no_weights_opts_out():
    class Plain(layers.Dense):
        prunable_weights = ()

    model = keras.Sequential([keras.Input((4,)), Plain(3), layers.Dense(2)])
    assert len(sparsity_report(model).rows) == 1


def test_declaring_something_else_is_an_error():
    class Wrong(layers.Dense):
        def prunable_weights(self):
            return ["kernel"]

    model = keras.Sequential([keras.Input((4,)), Wrong(3, name="wrong")])
    with pytest.raises(TypeError, match="of layer 'wrong' must hold Keras variables"):
        prune(model, HALF)


def _over():
    model = mlp("sgd")
    model.optimizer.iterations.assign(50)
    return model


def _frozen():
    model = mlp("sgd")
    model.trainable = False
    return model


@pytest.mark.parametrize(
    ("make", "arguments", "error", "message"),
    [
        (mlp, {"sparsity_schedule": 0.5}, TypeError, "must be a SparsitySchedule"),
        (mlp, {"include": "conv"}, ValueError, "can be pruned.*dense/kernel"),
        (mlp, {"include": "(("}, ValueError, "valid regular expression"),
        (mlp, {"include": 3}, TypeError, "`include` must be a regular expression"),
        (_frozen, {}, ValueError, "must be trainable.*frozen=.*dense/kernel"),
        (
            _over,
            {"sparsity_schedule": ConstantSparsity(0.5, 0, 40)},
            ValueError,
            "must not be over.*iterations=50.*dense/kernel",
        ),
        (lambda: "model", {}, TypeError, "`model` must be a Model"),
    ],
)
def test_refused_and_left_unchanged(make, arguments, error, message):
    model = make()
    with pytest.raises(error, match=message):
        prune(model, **{"sparsity_schedule": HALF, **arguments})
    if isinstance(model, keras.Model):
        kernels = [layer.kernel for layer in model.layers]
        assert all(type(kernel) is keras.Variable for kernel in kernels)
        assert all(kernel.constraint is None for kernel in kernels)


def test_pruning_twice_is_refused_and_the_first_goes_on():
    model = mlp("sgd")
    prune(model, HALF, include="dense_1")
    with pytest.raises(ValueError, match="already_pruned=.*dense_1/kernel"):
        prune(model, ConstantSparsity(0.9, begin_step=0))
    fit(model, 1)
    assert [row["sparsity"] for row in sparsity_report(model).rows] == [0.0, 0.5]


def test_strip_without_prune_is_refused():
    with pytest.raises(ValueError, match="must be under pruning"):
        strip(mlp())


def test_sequential_without_input_is_not_built():
    with pytest.raises(ValueError, match="unbuilt_layers=.'dense'"):
        prune(keras.Sequential([layers.Dense(3)]), HALF)


def test_report_counts_and_prints():
    model = mlp()
    kernel = model.layers[0].kernel
    array = values(kernel).copy()
    array[:6] = 0
    kernel.assign(array)
    report = sparsity_report(model)
    assert (report.zeros, report.parameters) == (6 * 24, 12 * 24 + 24 * 4)
    assert report.sparsity == pytest.approx(144 / 384)
    assert report.model_parameters == model.count_params()
    first = report.rows[0]
    assert (first["shape"], first["sparsity"]) == ((12, 24), 0.5)
    assert first["layer"] == "dense" and first["weight"] in str(report)
    assert "144" in str(report) and "384" in str(report) and "37.50%" in str(report)


def test_weights_adapted_by_lora_are_not_pruned():
    model = mlp()
    model.layers[0].enable_lora(2)
    rows = sparsity_report(model).rows
    # Both are counted, the first as it is used; only the second can be pruned.
    assert [row["layer"] for row in rows] == ["dense", "dense_1"]
    with pytest.warns(UserWarning, match=r"dense \(LoRA is enabled\)"):
        prune(model, HALF)
    assert [row["pruned"] for row in sparsity_report(model).rows] == [False, True]
