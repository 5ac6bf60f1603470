"""Hypermodels with a network of their own: spaces, networks, searches."""

import keras
import numpy as np
import pytest
from keras_tuner import errors

from keras_strategies import layers, tuning
from tests.tuning.searching import digits, search, space


def images(**arguments):
    def make(cls, **more):
        return cls((8, 8, 1), **{"classes": 10, **arguments, **more})

    return make


def tokens(**arguments):
    def make(cls, **more):
        fixed = {"classes": 10, "vocabulary_size": 18}
        return cls((16,), **{**fixed, **arguments, **more})

    return make


# Tiny spaces over the 8x8 digits; for sequences a part of the pixels are tokens.
FAST = {"batch_size": (64, 128), "learning_rate": (3e-3, 3e-2)}
SMALL = {
    "HyperCNN": images(
        blocks=(1, 2), filters=(4, 8), convolutions=1, kernel_size=3, units=8, **FAST
    ),
    "HyperResNet": images(
        stages=(1, 2), blocks=1, filters=(4, 8), stochastic_depth=(0.1, 0.2), **FAST
    ),
    "HyperRNN": tokens(embedding=(4, 8), cell="gru", layers=1, units=(4, 8), **FAST),
    "HyperTransformer": tokens(layers=1, heads=2, head_size=(2, 4), **FAST),
}
NAMES = sorted(SMALL)


def data_for(name):
    x, y = digits()
    if name in ("HyperRNN", "HyperTransformer"):
        return (x[:, ::4] + 1).astype("int32"), y
    return x.reshape(-1, 8, 8, 1) / 16, y


def small(name, **arguments):
    return SMALL[name](getattr(tuning, name), **arguments)


def kinds(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.mark.parametrize("name", NAMES)
def test_space_is_complete_and_any_point_builds(name):
    """Small models at two points; build and fit declare nothing new."""
    x, y = data_for(name)
    hypermodel = small(name, epochs=(1, 2), schedule=("constant", "cosine"))
    hp = space(hypermodel)
    names = [item.name for item in hp.space]
    assert len(names) == len(set(names))
    assert {"batch_size", "epochs", "schedule", "learning_rate"} <= set(names)
    model = hypermodel.build(hp)
    hypermodel.fit(hp, model, x[:8], y[:8], verbose=0)
    assert [item.name for item in hp.space] == names
    top = {item.name: item.prob_to_value(0.999) for item in hp.space}
    largest = hypermodel.build(space(hypermodel, **top))
    assert largest.count_params() > model.count_params()
    assert largest(x[:2]).shape == (2, 10)


@pytest.mark.tensorflow
def test_search_reloads_its_best_model(tmp_path):
    search(small("HyperCNN"), *data_for("HyperCNN"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_search_in_graphs(name, tmp_path):
    search(small(name), *data_for(name), tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_tasks_and_not_tunable(name):
    one = small(name, task="binary", classes=None, tunable=False)
    hp = space(one)
    model = one.build(hp)
    assert hp.space == []
    assert (model.output_shape, model.loss) == ((None, 1), "binary_crossentropy")


# Networks


@pytest.mark.parametrize("side", [1, 3, 8])
def test_cnn_pools_no_further_than_one_pixel(side):
    hypermodel = tuning.HyperCNN(
        (side, side, 2), classes=3, blocks=4, filters=2, convolutions=2, units=2
    )
    model = hypermodel.build(space(hypermodel, pooling="avg", kernel_size=5))
    pools = kinds(model, keras.layers.AveragePooling2D)
    assert len(pools) == {1: 0, 3: 1, 8: 3}[side]
    convolutions = kinds(model, keras.layers.Conv2D)
    assert [layer.kernel_size for layer in convolutions] == [(5, 5)] * 8


def test_cnn_normalizes_or_has_a_bias():
    hypermodel = tuning.HyperCNN((4, 4, 1), classes=3, blocks=2, filters=2, units=2)
    for flag in (True, False):
        model = hypermodel.build(space(hypermodel, batch_normalization=flag))
        norms = len(kinds(model, keras.layers.BatchNormalization))
        convolutions = kinds(model, keras.layers.Conv2D)
        assert norms == flag * len(convolutions)
        assert {layer.use_bias for layer in convolutions} == {not flag}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_resnet_stem_stages_and_stochastic_depth(version):
    arguments = {"classes": 3, "version": version, "stages": 3, "blocks": 2}
    arguments |= {"filters": 2, "stochastic_depth": 0.3}
    hypermodel = tuning.HyperResNet((16, 16, 3), **arguments)
    model = hypermodel.build(space(hypermodel))
    rates = [layer.rate for layer in kinds(model, layers.StochasticDepth)]
    np.testing.assert_allclose(rates, [0.06, 0.12, 0.18, 0.24, 0.3])
    stem, *others = kinds(model, keras.layers.Conv2D)
    assert (stem.kernel_size, stem.strides) == ((3, 3), (1, 1))
    assert len(others) == 6 * 2 + 2, "two a block, two shortcuts that change shape"
    (pool,) = kinds(model, keras.layers.GlobalAveragePooling2D)
    assert pool.input.shape == (None, 4, 4, 8)
    assert not kinds(model, keras.layers.MaxPooling2D)

    large = tuning.HyperResNet((96, 96, 3), **arguments)
    model = large.build(space(large))
    stem = kinds(model, keras.layers.Conv2D)[0]
    assert (stem.kernel_size, stem.strides) == ((7, 7), (2, 2))
    (pool,) = kinds(model, keras.layers.GlobalAveragePooling2D)
    assert pool.input.shape == (None, 6, 6, 8)


def test_rnn_cells_directions_and_series():
    hypermodel = tuning.HyperRNN(
        (None, 3), task="regression", layers=2, units=4, dropout=0.0
    )
    for cell, cls in (("lstm", keras.layers.LSTM), ("gru", keras.layers.GRU)):
        values = {"cell": cell, "bidirectional": cell == "gru"}
        model = hypermodel.build(space(hypermodel, **values))
        if cell == "gru":
            wrapped = kinds(model, keras.layers.Bidirectional)
            recurrent = [layer.forward_layer for layer in wrapped]
        else:
            recurrent = kinds(model, cls)
        assert [type(layer) for layer in recurrent] == [cls, cls]
        assert [layer.return_sequences for layer in recurrent] == [True, False]
    assert model(np.ones((2, 5, 3))).shape == (2, 1)


@pytest.mark.parametrize("name", ["HyperRNN", "HyperTransformer"])
def test_padding_changes_nothing(name):
    cls = getattr(tuning, name)
    sizes = {"HyperRNN": {"units": 3}, "HyperTransformer": {"head_size": 2}}[name]
    hypermodel = cls((6,), classes=3, vocabulary_size=9, layers=2, **sizes)
    model = hypermodel.build(space(hypermodel))
    for weight in model.trainable_weights:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    text = np.array([[3, 1, 4, 0, 0, 0]])
    short = cls((3,), classes=3, vocabulary_size=9, layers=2, **sizes)
    cut = short.build(space(short))
    weights = model.get_weights()
    if name == "HyperTransformer":  # fewer positions
        at = next(i for i, w in enumerate(weights) if w.shape[0] == 6)
        weights[at] = weights[at][:3]
    cut.set_weights(weights)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(model(text)),
        keras.ops.convert_to_numpy(cut(text[:, :3])),
        atol=1e-5,
    )
    padding = keras.ops.convert_to_numpy(model(np.zeros((1, 6), int)))
    assert np.isfinite(padding).all()


# The part of the space that belongs to fit


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.1] * 6),
        ("step", [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]),
        ("exponential", [0.1 * 0.01 ** (k / 6) for k in range(6)]),
        ("cosine", [0.05 * (1 + np.cos(np.pi * k / 6)) for k in range(6)]),
    ],
)
def test_schedules_run_over_the_epochs_of_a_trial(schedule, rates):
    hypermodel = tuning.HyperMLP(
        (3,),
        task="regression",
        layers=1,
        units=2,
        batch_size=None,
        optimizer="sgd",
        learning_rate=0.1,
        epochs=6,
        schedule=schedule,
    )
    hp = space(hypermodel)
    assert not {"epochs", "schedule"} & {item.name for item in hp.space}
    model = hypermodel.build(hp)
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(float(self.model.optimizer.learning_rate))

    history = hypermodel.fit(
        hp, model, np.ones((4, 3)), np.ones(4), callbacks=[Spy()], verbose=0
    )
    np.testing.assert_allclose(seen, rates, rtol=1e-5)
    assert len(history.epoch) == 6


def test_epochs_given_twice_end_the_search():
    hypermodel = tuning.HyperMLP((3,), classes=2, epochs=(1, 3), units=4)
    hp = space(hypermodel)
    model = hypermodel.build(hp)
    with pytest.raises(errors.FatalValueError, match="epochs=2.*epochs=None"):
        hypermodel.fit(hp, model, np.ones((4, 3)), np.ones(4), epochs=2)


# Bad arguments


BAD = [
    ("HyperCNN", {"input_shape": (8, 8)}, ValueError, r"3 positive.*\(8, 8\)"),
    ("HyperCNN", {"kernel_size": (3, 4)}, ValueError, "odd. Received: kernel_size=4"),
    ("HyperCNN", {"kernel_size": ()}, ValueError, "kernel_size="),
    ("HyperCNN", {"batch_normalization": 1}, TypeError, "True or False"),
    ("HyperCNN", {"pooling": "sum"}, ValueError, "'max', 'avg'"),
    ("HyperCNN", {"schedule": "linear"}, ValueError, "'cosine'.*schedule='linear'"),
    ("HyperCNN", {"epochs": 0}, ValueError, "epochs=0"),
    ("HyperCNN", {"filter": 3}, TypeError, "filter"),
    ("HyperResNet", {"stem": "tiny"}, ValueError, "stem='tiny'"),
    ("HyperResNet", {"stochastic_depth": 1.0}, ValueError, "stochastic_depth=1.0"),
    ("HyperResNet", {"version": "v3"}, ValueError, "version='v3'"),
    ("HyperRNN", {"input_shape": (8, 3)}, ValueError, r"\(length,\) for integer"),
    ("HyperRNN", {"vocabulary_size": None}, ValueError, "series without it"),
    ("HyperRNN", {"vocabulary_size": 1}, ValueError, "vocabulary_size=1"),
    ("HyperRNN", {"cell": "rnn"}, ValueError, "cell='rnn'"),
    ("HyperTransformer", {"input_shape": (None,)}, ValueError, "must be known"),
    ("HyperTransformer", {"heads": (2, 2)}, ValueError, "different ones"),
    ("HyperTransformer", {"heads": 0}, ValueError, "heads=0"),
]


@pytest.mark.parametrize(
    ("name", "arguments", "error", "match"),
    BAD,
    ids=[f"{bad[0]}-{bad[1]}" for bad in BAD],
)
def test_bad_arguments(name, arguments, error, match):
    if "input_shape" in arguments:
        arguments = {"classes": 3, **arguments}
        if name in ("HyperRNN", "HyperTransformer"):
            arguments["vocabulary_size"] = 9
        with pytest.raises(error, match=match):
            getattr(tuning, name)(**arguments)
        return
    with pytest.raises(error, match=match):
        small(name, **arguments)
