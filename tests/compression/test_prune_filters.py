"""Which units go, how many stay, what is copied and what is refused."""

import re

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from keras_strategies.compression import (
    ConstantSparsity,
    filter_report,
    flops,
    prune,
    prune_filters,
)
from keras_strategies.compression.filters._channel_groups import ChannelGroups
from keras_strategies.compression.filters._selection import num_kept_units
from tests.compression.common import values
from tests.compression.filter_models import (
    GRAPHS,
    batch,
    conv,
    head,
    outputs,
    randomize,
    silence,
)


def chain(units=16, activation="relu"):
    return keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(units, activation=activation, name="hidden"),
            layers.Dense(3, name="out"),
        ]
    )


def unit_counts(model):
    return [layer.units for layer in model.layers if hasattr(layer, "units")]


# --- the channels


def test_channels_join_and_freeze_in_whole_groups():
    groups = ChannelGroups()
    a, b, c = groups.new(3), groups.new(3), groups.new(2)
    groups.join(a, b)
    groups.join(b[1:], c)
    assert list(groups.roots(a)) == list(groups.roots(b))
    assert groups.roots(c)[0] == groups.roots(a)[1] != groups.roots(a)[2]
    groups.freeze(c[:1], "reason")
    groups.freeze(c, "later")
    assert [groups.frozen_reason(channel) for channel in a] == [None, "reason", "later"]
    groups.join(a[:1], a[1:2])
    assert groups.frozen_reason(b[0]) == "reason"
    groups.freeze(a[:1], "output", first=True)
    assert groups.frozen_reason(c[0]) == "output"
    with pytest.raises(ValueError, match="3 channels cannot join 2"):
        groups.join(a, c)


@given(
    units=st.integers(1, 200),
    fraction=st.floats(0, 0.999),
    round_to=st.integers(1, 16),
)
def test_kept_count(units, fraction, round_to):
    kept = num_kept_units(units, fraction, round_to)
    assert 1 <= kept <= units
    assert kept >= min(round_to, units)
    assert kept == units or kept % round_to == 0
    assert kept >= units * (1 - fraction) - 1e-6
    assert kept < max(units * (1 - fraction), 1) + 1 + round_to


# --- which units


def test_lowest_units_go_and_kept_weights_are_unchanged():
    model = chain(4)
    kernel = np.ones((6, 4), "float32") * [3.0, 1.0, 4.0, 2.0]
    model.layers[0].set_weights([kernel, np.arange(4.0)])
    pruned = prune_filters(model, 0.5, round_to=1)
    first, second = pruned.layers
    np.testing.assert_array_equal(values(first.kernel), kernel[:, [0, 2]])
    np.testing.assert_array_equal(values(first.bias), [0, 2])
    expected = values(model.layers[1].kernel)[[0, 2]]
    np.testing.assert_array_equal(values(second.kernel), expected)
    np.testing.assert_array_equal(values(second.bias), values(model.layers[1].bias))


CRITERIA = {
    "l1": (0, 1),
    "l2": (1, 2),
    "signed": (1, 2),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_criteria(name):
    model = chain(3)
    kernel = np.zeros((6, 3), "float32")
    kernel[0] = [3.0, 0.0, 0.0]  # l1: 3, 4.5, 4; l2: 3, 2.6, 2.8
    kernel[1:4, 1], kernel[1:3, 2] = 1.5, 2.0
    model.layers[0].set_weights([kernel, np.zeros(3)])
    criterion = {"signed": lambda kernel: -kernel.sum(axis=0)}.get(name, name)
    pruned = prune_filters(model, 0.34, round_to=1, criterion=criterion)
    gone = {"l1": 0, "l2": 1, "signed": 1}[name]
    expected = np.delete(kernel, gone, axis=1)
    np.testing.assert_array_equal(values(pruned.layers[0].kernel), expected)


def test_scale_of_batch_normalization_as_criterion():
    inputs = keras.Input((4, 4, 3))
    model = head(inputs, conv(inputs, 4))
    norm = next(x for x in model.layers if isinstance(x, layers.BatchNormalization))
    norm.gamma.assign([0.1, -2.0, 0.2, 1.0])
    pruned = prune_filters(model, 0.5, round_to=1, criterion="bn_gamma")
    norm = pruned.get_layer(norm.name)
    np.testing.assert_allclose(values(norm.gamma), [-2.0, 1.0])
    with pytest.raises(ValueError, match="bn_gamma.*hidden"):
        prune_filters(chain(), 0.5, criterion="bn_gamma")


def test_joined_layers_lose_the_units_of_the_lowest_relative_sum():
    inputs = keras.Input((5,))
    one = layers.Dense(3, use_bias=False, name="one")
    other = layers.Dense(3, use_bias=False, name="other")
    x = layers.Add()([one(inputs), other(inputs)])
    model = keras.Model(inputs, layers.Dense(2)(x))
    # Relative to the mean: 0.3 + 1.5, 1.2 + 0.3 and 1.5 + 1.2.
    one.kernel.assign(np.ones((5, 1)) * [[1.0, 4.0, 5.0]])
    other.kernel.assign(np.ones((5, 1)) * [[500.0, 100.0, 400.0]])
    pruned = prune_filters(model, 0.34, round_to=1)
    np.testing.assert_array_equal(values(pruned.get_layer("one").kernel)[0], [1, 5])
    kernel = values(pruned.get_layer("other").kernel)[0]
    np.testing.assert_array_equal(kernel, [500, 400])


def test_equal_scores_are_decided_the_same_each_time():
    model = chain()
    model.layers[0].set_weights([np.ones((6, 16)), np.arange(16.0)])
    for _ in range(2):
        pruned = prune_filters(model, 0.5)
        np.testing.assert_array_equal(values(pruned.layers[0].bias), range(8, 16))


# --- how many


def layered():
    names = ("one", "two", "three")
    hidden = [layers.Dense(16, activation="relu", name=name) for name in names]
    return keras.Sequential([keras.Input((6,)), *hidden, layers.Dense(2, name="out")])


CHOICES = [
    ({}, [8, 8, 8, 2]),
    ({"include": "^t"}, [16, 8, 8, 2]),
    ({"include": lambda layer: layer.name == "two"}, [16, 8, 16, 2]),
    ({"exclude": "e$"}, [16, 8, 16, 2]),
    ({"per_layer": {"one": 0.0, "^t": 0.75}}, [16, 4, 4, 2]),
    ({"per_layer": {"t": 0.25}, "fraction": 0.0}, [16, 12, 12, 2]),
    ({"round_to": 5}, [10, 10, 10, 2]),
    ({"round_to": 1, "fraction": 0.99}, [1, 1, 1, 2]),
    ({"round_to": 8, "fraction": 0.99}, [8, 8, 8, 2]),
    ({"round_to": 1, "fraction": 0.3}, [12, 12, 12, 2]),
]


@pytest.mark.tensorflow
@pytest.mark.parametrize(("arguments", "expected"), CHOICES)
def test_how_many_units_stay(arguments, expected):
    arguments = {"fraction": 0.5, "round_to": 4, **arguments}
    assert unit_counts(prune_filters(layered(), **arguments)) == expected


def test_a_group_needs_all_its_layers_and_takes_the_smallest_fraction():
    inputs = keras.Input((5,))
    x = layers.Add()([layers.Dense(8, name=name)(inputs) for name in ("one", "two")])
    x = layers.Dense(8, name="three")(layers.ReLU()(x))
    model = keras.Model(inputs, layers.Dense(2)(x))
    pruned = prune_filters(model, 0.5, exclude="one", round_to=1)
    assert unit_counts(pruned) == [8, 8, 4, 2]
    pruned = prune_filters(model, 0.5, per_layer={"one": 0.25}, round_to=1)
    assert unit_counts(pruned) == [6, 6, 4, 2]


# --- what is not followed is kept whole


def summed(x):
    return keras.ops.cumsum(x, axis=-1)


STOPS = [
    lambda: layers.LayerNormalization(name="stop"),
    lambda: layers.GroupNormalization(4, name="stop"),
    lambda: layers.Softmax(name="stop"),
    lambda: layers.Activation("softmax", name="stop"),
    lambda: layers.Activation(summed, name="stop"),
    lambda: layers.Lambda(lambda x: x[..., ::-1], output_shape=(4, 8, 8), name="stop"),
    lambda: layers.Lambda(summed, output_shape=lambda s: s, name="stop"),
    lambda: layers.Conv2D(8, 3, groups=2, name="stop"),
    lambda: layers.Reshape((4, 16, 4), name="stop"),
    lambda: layers.Rescaling(np.arange(8.0), name="stop"),
    lambda: layers.BatchNormalization(axis=1, name="stop"),
    lambda: layers.TimeDistributed(layers.Conv1D(3, 3), name="stop"),
    lambda: layers.Dropout(0.5, noise_shape=(None, 1, 1, 8), name="stop"),
]


@pytest.mark.tensorflow
@pytest.mark.parametrize("make", STOPS, ids=lambda m: type(m()).__name__)
def test_layers_that_mix_channels_keep_them(make):
    inputs = keras.Input((4, 8, 3))
    x = layers.Conv2D(8, 1, activation="relu", name="before")(inputs)
    x = layers.Conv2D(8, 1, activation="relu", name="after")(make()(x))
    model = silence(randomize(head(inputs, x)), 0.5)
    pruned = prune_filters(model, 0.5, round_to=1)
    kept = filter_report(model, pruned).kept
    assert "stop" in kept["before"]
    assert pruned.get_layer("after").filters == 4
    found, expected = (outputs(m, batch(model))[0] for m in (pruned, model))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.tensorflow
@pytest.mark.parametrize("activation", ["softmax", "glu", summed])
def test_units_under_an_activation_that_mixes_them_are_kept(activation):
    if activation == "glu":
        model = keras.Sequential([keras.Input((6,)), layers.Dense(16)])
        model.add(layers.Activation("glu", name="glu"))
        model.add(layers.Dense(3))
    else:
        model = chain(activation=activation)
    with pytest.raises(ValueError, match="glu|mixes channels"):
        prune_filters(model, 0.5)


def test_attention_and_recurrent_layers_get_all_their_inputs():
    inputs = keras.Input((6, 3))
    x = layers.Conv1D(8, 3, name="kept")(inputs)
    x, _ = layers.MultiHeadAttention(2, 4, name="mha")(
        x, x, return_attention_scores=True
    )
    x = layers.Dense(8, name="free")(x)
    x = layers.Dense(8, name="also")(x)
    model = keras.Model(inputs, layers.LSTM(4, name="lstm")(x))
    pruned = prune_filters(model, 0.5, round_to=1)
    report = filter_report(model, pruned)
    assert report.kept == {
        "kept": "mha (MultiHeadAttention) is not followed",
        "also": "lstm (LSTM) is not followed",
    }
    assert pruned.get_layer("free").units == 4
    assert report.not_counted == ["lstm"]
    assert "not counted: lstm" in str(report)
    for name in ("mha", "lstm"):
        old, new = model.get_layer(name), pruned.get_layer(name)
        for one, other in zip(old.weights, new.weights, strict=True):
            np.testing.assert_array_equal(values(one), values(other))


def test_channels_first():
    inputs = keras.Input((3, 8, 8))
    x = layers.Conv2D(8, 3, data_format="channels_first", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization(axis=1)(x))
    x = layers.Flatten(data_format="channels_first")(x)
    model = keras.Model(inputs, layers.Dense(2)(x))
    pruned = prune_filters(model, 0.5, round_to=1)
    assert pruned.layers[1].filters == 4
    assert pruned.layers[-1].kernel.shape[0] == 4 * 6 * 6


# --- what is copied


def test_compiled_model_is_compiled_alike_and_trains():
    def custom_loss(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred))

    model = chain()
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, loss=custom_loss, metrics=["mae"])
    x, y = batch(model), np.ones((3, 3))
    model.fit(x, y, epochs=2, verbose=0)
    pruned = prune_filters(model, 0.5)
    assert pruned.optimizer is not model.optimizer
    assert float(pruned.optimizer.momentum) == 0.9
    assert int(pruned.optimizer.iterations) == 0
    history = pruned.fit(x, y, epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert "mae" in history
    assert not prune_filters(chain(), 0.5).compiled


def test_trainable_and_precision_are_kept():
    inputs = keras.Input((4, 4, 3))
    policy = keras.DTypePolicy("mixed_float16")
    x = layers.Conv2D(8, 3, dtype=policy, name="frozen")(inputs)
    model = head(inputs, conv(x, 8, 1))
    model.get_layer("frozen").trainable = False
    pruned = prune_filters(model, 0.5, round_to=1)
    frozen = pruned.get_layer("frozen")
    assert not frozen.trainable and not frozen.trainable_variables
    assert frozen.dtype_policy.name == "mixed_float16"
    assert len(pruned.trainable_weights) == len(model.trainable_weights)
    model.trainable = False
    assert not prune_filters(model, 0.5, round_to=1).trainable_weights


def test_pruned_model_saves_and_loads(tmp_path):
    model = prune_filters(GRAPHS["nested"](), 0.5, round_to=1)
    model.save(tmp_path / "pruned.keras")
    loaded = keras.models.load_model(tmp_path / "pruned.keras")
    x = batch(model)
    np.testing.assert_allclose(outputs(loaded, x)[0], outputs(model, x)[0], atol=1e-6)
    again = prune_filters(loaded, 0.5, round_to=1)
    assert again.get_layer("block").input_shape[-1] == 2


def test_state_that_is_no_weight_is_copied():
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(0).normal(3, 2, (50, 6)))
    model = keras.Sequential([keras.Input((6,)), norm, *chain().layers])
    pruned = prune_filters(model, 0.5)
    x = np.full((1, 6), 3.0, "float32")
    np.testing.assert_allclose(values(pruned.layers[0].mean), values(norm.mean))
    found, expected = (outputs(m.layers[0], x)[0] for m in (pruned, model))
    np.testing.assert_allclose(found, expected)


def test_models_inside_as_outputs_and_called_twice():
    inner_in = keras.Input((4, 4, 8))
    inner = keras.Model(inner_in, conv(conv(inner_in, 6), 8), name="inner")
    inputs = keras.Input((4, 4, 3))
    x, y = conv(inputs, 8), conv(inputs, 8)
    model = keras.Model(inputs, [inner(x), inner(y), inner(inner(y))])
    model = silence(randomize(model), 0.5)
    pruned = prune_filters(model, 0.5, round_to=1)
    report = filter_report(model, pruned)
    assert report.kept["inner/conv2d_1"] == "output of the model"
    x = batch(model)
    for one, other in zip(outputs(pruned, x), outputs(model, x), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_nested_models_that_hide_their_graph_are_copied_whole():
    inputs = keras.Input((6,))
    x = layers.Dense(8, name="free")(layers.Dense(6, name="before")(inputs))
    x = Subclassed(name="own")(x)
    model = keras.Model(inputs, layers.Dense(2, name="out")(layers.ReLU()(x)))
    model.get_layer("own").trainable = False
    pruned = prune_filters(silence(randomize(model), 0.5), 0.5, round_to=1)
    report = filter_report(model, pruned)
    assert report.kept["free"] == "own (Subclassed) is not followed"
    assert pruned.get_layer("before").units == 3
    assert type(pruned.get_layer("own")) is Subclassed
    assert len(pruned.trainable_weights) == 6
    x = batch(model)
    np.testing.assert_allclose(outputs(pruned, x)[0], outputs(model, x)[0], atol=1e-5)


def test_a_model_under_pruning_can_lose_filters_too():
    model = chain()
    prune(model, ConstantSparsity(0.5, begin_step=0))
    pruned = prune_filters(model, 0.5)
    assert pruned.layers[0].kernel.constraint is None
    assert model.layers[0].kernel.constraint is not None


class Shifted(layers.Layer):
    def call(self, x):
        return x + 1


def test_custom_layers_in_sequential_models():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8), Shifted()])
    model.add(layers.Dense(8))
    model.add(layers.Dense(2))
    pruned = prune_filters(model, 0.5, round_to=1)
    assert unit_counts(pruned) == [8, 4, 2]
    assert "Shifted" in filter_report(model, pruned).kept["dense"]


# --- random graphs


def random_graph(draw):
    """A random network of 3 to 9 calls on tensors of 4x4 places."""
    inputs = keras.Input((4, 4, 2))
    tensors = [conv(inputs, 4), conv(inputs, 6)]
    shared = {}

    def pick(same_as=None):
        fitting = [
            t for t in tensors if same_as is None or t.shape[-1] == same_as.shape[-1]
        ]
        return draw(st.sampled_from(fitting))

    for _ in range(draw(st.integers(3, 9))):
        x, kind = pick(), draw(st.integers(0, 9))
        width = draw(st.sampled_from([4, 6]))
        if kind == 0:
            x = conv(x, width, draw(st.sampled_from([1, 3])))
        elif kind == 1:
            x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
        elif kind == 2:
            merge = draw(st.sampled_from([layers.Add, layers.Multiply]))
            x = merge()([x, pick(x)])
        elif kind == 3 and x.shape[-1] < 20:
            x = layers.Concatenate()([x, pick()])
        elif kind == 4:
            gate = layers.GlobalAveragePooling2D(keepdims=True)(pick(x))
            gate = layers.Dense(x.shape[-1], activation="sigmoid")(gate)
            x = layers.Multiply()([x, gate])
        elif kind == 5:
            key = x.shape[-1]
            shared.setdefault(key, layers.Conv2D(6, 1, activation="relu"))
            x = shared[key](x)
        elif kind == 6:
            x = layers.LayerNormalization()(x)
        elif kind == 7:
            x = keras.ops.flip(x, axis=1)
        elif kind == 8:
            x = layers.Conv2D(width, 1, activation="softmax")(x)
        else:
            x = layers.BatchNormalization()(layers.MaxPooling2D(3, 1, "same")(x))
        tensors.append(x)
    x = layers.Concatenate()([tensors[-1], tensors[-2]])
    if draw(st.booleans()):
        x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))


@pytest.mark.tensorflow
@settings(max_examples=10, deadline=None, derandomize=True)
@given(data=st.data(), fraction=st.sampled_from([0.3, 0.5, 0.8]))
def test_random_graphs_stay_exact(data, fraction):
    model = random_graph(data.draw)
    try:
        pruned = prune_filters(
            silence(randomize(model), fraction), fraction, round_to=1
        )
    except ValueError as error:
        assert "can be removed" in str(error)
        return
    x = batch(model)
    found, expected = outputs(pruned, x)[0], outputs(model, x)[0]
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-5)


# --- counting


def test_macs_in_closed_form():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, strides=2, name="conv")(inputs)  # 3x3 places
    x = layers.Conv2D(4, 1, groups=2, name="grouped")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.SeparableConv2D(5, 2, padding="same", name="separable")(x)
    x = layers.Conv2DTranspose(6, 2, strides=2, name="transposed")(x)
    twice = layers.Dense(6, name="twice")
    x = layers.Flatten()(twice(twice(x)))  # 6x6 places
    model = keras.Model(inputs, layers.Dense(2, name="out")(x))
    report = flops(model)
    assert {row["layer"]: row["macs"] for row in report.rows} == {
        "conv": 9 * 27 * 4,
        "grouped": 9 * 2 * 4,
        "depthwise": 9 * 9 * 4,
        "separable": 9 * (4 * 4 + 4 * 5),
        "transposed": 9 * 4 * 5 * 6,
        "twice": 2 * 36 * 36,
        "out": 216 * 2,
    }
    assert report.flops == 2 * report.macs
    assert report.rows[0]["parameters"] == 27 * 4 + 4
    assert str(report).splitlines()[-1].split() == ["total", f"{report.macs:,}"]


@pytest.mark.tensorflow
def test_flops_of_a_known_network():
    """MobileNetV2 at 224 pixels: 300 million MACs in its paper."""
    model = keras.applications.MobileNetV2(weights=None)
    assert flops(model).macs == pytest.approx(300e6, rel=0.01)
    assert flops(model).not_counted == []


def test_open_sides_prune_but_cannot_be_counted():
    inputs = keras.Input((None, None, 3))
    model = head(inputs, conv(inputs, 8))
    assert prune_filters(model, 0.5, round_to=1).layers[1].filters == 4
    with pytest.raises(ValueError, match="known input sides.*conv2d"):
        flops(model)


def test_report_of_other_models_is_refused():
    with pytest.raises(ValueError, match="same layers.*three"):
        filter_report(layered(), chain())


# --- bad input


class Subclassed(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(8)

    def call(self, x):
        return self.dense(x)


class NoConfig(layers.Layer):
    def __init__(self, thing):
        super().__init__()
        self.thing = thing

    def call(self, x):
        return x


class OwnCall(keras.Model):
    def call(self, x, training=None):
        return super().call(x, training=training) + 1


def own_call():
    inputs = keras.Input((6,))
    return OwnCall(inputs, layers.Dense(3)(layers.Dense(16)(inputs)))


REFUSED = [
    (lambda: "model", {}, TypeError, "`model` must be a Model"),
    (Subclassed, {}, ValueError, "Functional or Sequential.*subclassed"),
    (
        lambda: keras.Sequential(
            [
                keras.Input((6,)),
                layers.Dense(16),
                layers.Dense(16),
                NoConfig(object()),
                layers.Dense(2),
            ]
        ),
        {},
        ValueError,
        "must have `get_config`.*no_config",
    ),
    (own_call, {}, ValueError, "Functional or Sequential.*own_call"),
    (lambda: keras.Sequential([layers.Dense(8)]), {}, ValueError, "it is not built"),
    (chain, {"fraction": 1.0}, ValueError, r"in \[0.0, 1.0\)|in \[0, 1\)"),
    (chain, {"fraction": -0.1}, ValueError, "fraction"),
    (chain, {"fraction": "half"}, TypeError, "fraction"),
    (chain, {"round_to": 0}, ValueError, "round_to"),
    (chain, {"criterion": "l3"}, ValueError, "'l1', 'l2', 'bn_gamma'"),
    (chain, {"criterion": lambda kernel: kernel}, ValueError, "one finite score"),
    (chain, {"include": "conv"}, ValueError, "`include` must match.*hidden"),
    (chain, {"include": "("}, ValueError, "`include` must be a valid regular"),
    (chain, {"include": 3}, TypeError, "`include`"),
    (chain, {"exclude": "conv"}, ValueError, "`exclude` must match.*hidden"),
    (chain, {"exclude": "hidden"}, ValueError, "can be removed.*not chosen"),
    (chain, {"per_layer": 0.5}, TypeError, "per_layer"),
    (chain, {"per_layer": {"hidden": 1.5}}, ValueError, "per_layer.*hidden.*1.5"),
    (chain, {"per_layer": {"conv": 0.5}}, ValueError, "`per_layer` must match"),
    (chain, {"per_layer": {"out": 0.5}}, ValueError, "can lose.*output of the model"),
    (lambda: chain(8), {}, ValueError, "large enough.*round_to.*'hidden': 8"),
    (
        lambda: keras.Sequential([keras.Input((3,)), layers.Dense(8, name="last")]),
        {},
        ValueError,
        "can be removed.*'last': 'output of the model'",
    ),
]


@pytest.mark.tensorflow
@pytest.mark.parametrize(("make", "arguments", "error", "message"), REFUSED)
def test_bad_input_is_refused(make, arguments, error, message):
    with pytest.raises(error) as caught:
        prune_filters(make(), **{"fraction": 0.5, **arguments})
    assert re.search(message.lower(), str(caught.value).lower())
