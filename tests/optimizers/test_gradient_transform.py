"""GradientTransform: what steps do to weights, saved and under every mode."""

import json

import keras
import numpy as np
import pytest

from keras_strategies import callbacks, optimizers
from tests.markers import compile_modes

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 6)).astype("float32")
Y = RNG.normal(size=(32, 2)).astype("float32")


def all_transforms():
    return [
        optimizers.ZeroNonFinite(),
        optimizers.SkipLargeUpdates(1e6),
        optimizers.Centralize(),
        optimizers.AdaptiveClip(0.5, exclude=["head/"]),
        optimizers.PercentileClip(50, window=5),
        optimizers.AddNoise(0.01, seed=3),
        optimizers.Freeze(["head/bias"]),
        optimizers.LearningRateMultipliers({"backbone/": 0.5}),
        optimizers.LayerwiseDecay(0.5),
    ]


def model_with(optimizer, **arguments):
    keras.utils.set_random_seed(5)
    layers = [keras.Input((6,)), keras.layers.Dense(4, name="backbone")]
    model = keras.Sequential([*layers, keras.layers.Dense(2, name="head")])
    model.compile(optimizer, loss="mse", **arguments)
    return model


def fit(model, epochs=2, **arguments):
    history = model.fit(
        X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0, **arguments
    )
    return history.history["loss"]


def step(optimizer, weight, gradient):
    optimizer.apply([keras.ops.convert_to_tensor(np.float32(gradient))], [weight])
    return keras.ops.convert_to_numpy(weight)


def test_trains_with_everything_at_once():
    inner = keras.optimizers.AdamW(0.01, weight_decay=0.01)
    model = model_with(
        optimizers.GradientTransform(inner, all_transforms()),
        jit_compile=BACKEND != "torch",
    )
    losses = fit(model, epochs=10)
    assert losses[-1] < losses[0]
    assert model.optimizer.frozen() == ["sequential/head/bias"]
    np.testing.assert_array_equal(model.get_layer("head").bias.numpy(), [0, 0])
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 40


def test_mixed_precision_keeps_its_loss_scaling():
    keras.config.set_dtype_policy("mixed_float16")
    model = model_with(optimizers.GradientTransform("adam", all_transforms()))
    assert np.isfinite(fit(model)).all()
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)


def test_a_loaded_model_goes_on_as_if_never_interrupted(tmp_path):
    inner = keras.optimizers.Adam(0.01)
    whole = model_with(optimizers.GradientTransform(inner, all_transforms()))
    # Two of four epochs are in the file.
    path = tmp_path / "model.keras"
    save = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epoch == 1 and whole.save(path)
    )
    fit(whole, epochs=4, callbacks=[save])
    second = keras.models.load_model(path)
    assert int(keras.ops.convert_to_numpy(second.optimizer.iterations)) == 8
    fit(second, epochs=2)
    for expected, got in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)
    for one, other in zip(
        whole.optimizer.variables, second.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other)
        )


@pytest.mark.slow
def test_a_transform_that_does_nothing_changes_nothing():
    plain = model_with(keras.optimizers.Adam(0.01))
    wrapped = model_with(
        optimizers.GradientTransform(
            keras.optimizers.Adam(0.01), [optimizers.Transform()]
        )
    )
    assert fit(plain) == fit(wrapped)


class Traces(keras.layers.Layer):
    """Counts how often it is traced (or run, on Torch)."""

    def __init__(self, note):
        super().__init__()
        self.note = note

    def call(self, inputs):
        self.note()
        return inputs


@pytest.mark.parametrize("arguments", compile_modes(), ids=str)
def test_thaws_between_epochs_without_another_trace(arguments):
    traces = []
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(4, name="backbone"),
            Traces(lambda: traces.append(1)),
            keras.layers.Dense(2, name="head"),
        ]
    )
    freeze = optimizers.Freeze("backbone/")
    optimizer = optimizers.GradientTransform(
        keras.optimizers.AdamW(0.01, weight_decay=0.1), [freeze]
    )
    model.compile(optimizer, loss="mse", **arguments)
    kernel = model.get_layer("backbone").kernel
    before = keras.ops.convert_to_numpy(kernel).copy()
    fit(model)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernel), before)
    counted = len(traces)
    optimizer.unfreeze(model.get_layer("backbone"))
    assert optimizer.frozen() == []
    thaw = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: epoch and optimizer.freeze("head/")
    )
    fit(model, callbacks=[thaw])
    assert np.abs(keras.ops.convert_to_numpy(kernel) - before).max() > 0
    assert [path.rpartition("/")[2] for path in optimizer.frozen()] == [
        "kernel",
        "bias",
    ]
    if BACKEND != "torch":
        assert len(traces) == counted


def test_multipliers_scale_the_whole_update():
    weight = keras.Variable([1.0], name="w")
    optimizer = optimizers.GradientTransform(
        keras.optimizers.SGD(0.1, weight_decay=0.5),
        [optimizers.LearningRateMultipliers({"w": 0.5})],
    )
    # plain: w - 0.1 * 0.5 * w = 0.95, then 0.95 - 0.1 * 2 = 0.75
    np.testing.assert_allclose(step(optimizer, weight, [2.0]), [0.875], rtol=1e-6)
    optimizer.set_multiplier(0.0, "w")
    np.testing.assert_allclose(step(optimizer, weight, [2.0]), [0.875], rtol=1e-6)
    assert optimizer.multipliers() == {"w": 0.0}


def test_a_skipped_step_leaves_no_trace():
    weight = keras.Variable([1.0])
    skip = optimizers.SkipLargeUpdates(10.0)
    inner = keras.optimizers.Adam(0.1)
    optimizer = optimizers.GradientTransform(inner, [skip])
    step(optimizer, weight, [1.0])
    before = [keras.ops.convert_to_numpy(v).copy() for v in inner.variables]
    value = keras.ops.convert_to_numpy(weight).copy()
    for gradient in ([11.0], [np.nan], [np.inf]):
        np.testing.assert_array_equal(step(optimizer, weight, gradient), value)
    for old, variable in zip(before, inner.variables, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), old)
    assert int(keras.ops.convert_to_numpy(skip.skipped)) == 3
    assert np.all(step(optimizer, weight, [1.0]) < value)


def test_percentile_clip_follows_the_norms():
    weight = keras.Variable([0.0])
    clip = optimizers.PercentileClip(50, window=3)
    optimizer = optimizers.GradientTransform(keras.optimizers.SGD(1.0), [clip])
    norms, total = [], 0.0
    for gradient in (4.0, 1.0, 3.0, 8.0, 2.0, 16.0):
        norms.append(gradient)
        total -= min(gradient, np.percentile(norms[-3:], 50))
        found = step(optimizer, weight, [gradient])
        np.testing.assert_allclose(found, [total], rtol=1e-5)


def test_noise_has_its_deviation_and_its_seed():
    found = []
    for _ in range(2):
        weight = keras.Variable(np.zeros(20_000, "float32"))
        noise = optimizers.AddNoise(eta=0.25, seed=9)
        optimizer = optimizers.GradientTransform(keras.optimizers.SGD(1.0), [noise])
        found.append(step(optimizer, weight, np.zeros(20_000)).copy())
    np.testing.assert_array_equal(*found)
    assert found[0].std() == pytest.approx(0.5, rel=0.03)


def test_loss_scale_of_the_inner_optimizer_does_not_reach_the_transforms():
    weight = keras.Variable([0.0])
    inner = keras.optimizers.SGD(1.0, loss_scale_factor=8.0)
    optimizer = optimizers.GradientTransform(inner, [optimizers.SkipLargeUpdates(2.0)])
    np.testing.assert_allclose(step(optimizer, weight, [8.0]), [-1.0])


def test_schedulers_find_the_inner_optimizer():
    model = model_with(
        optimizers.GradientTransform(
            keras.optimizers.SGD(0.1), [optimizers.Centralize()]
        )
    )
    fit(model, callbacks=[callbacks.StepDecayScheduler()])
    rate = callbacks.CosineDecayScheduler(decay_steps=8, update="batch")
    fit(model, callbacks=[rate])
    now = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    assert now < 0.1


def test_weights_without_gradients_are_left_out():
    used, unused = keras.Variable([1.0], name="used"), keras.Variable([1.0], name="un")
    optimizer = optimizers.GradientTransform(
        keras.optimizers.SGD(1.0), [optimizers.LearningRateMultipliers({"used": 0.5})]
    )
    optimizer.apply([None, keras.ops.ones(1)], [unused, used])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(used), [0.5])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(unused), [1.0])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda t: optimizers.GradientTransform("sgd", []), ValueError, "at least one"),
        (lambda t: optimizers.GradientTransform("sgd", [1]), TypeError, "transforms"),
        (lambda t: optimizers.GradientTransform("sgd", t), TypeError, "list"),
        (lambda t: optimizers.GradientTransform(3, [t]), TypeError, "inner_optimizer"),
        (
            lambda t: optimizers.GradientTransform(
                keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), [t]
            ),
            ValueError,
            "LossScaleOptimizer",
        ),
        (lambda t: optimizers.AdaptiveClip(0.0), ValueError, "clip_factor"),
        (lambda t: optimizers.PercentileClip(101), ValueError, "percentile"),
        (lambda t: optimizers.LayerwiseDecay(0.0), ValueError, "decay"),
        (lambda t: optimizers.Freeze(["("]), ValueError, "regular expression"),
        (lambda t: optimizers.Freeze(exclude=1), TypeError, "`exclude` must be"),
        (lambda t: optimizers.LayerwiseDecay(0.5, "a"), TypeError, "groups"),
        (lambda t: optimizers.LearningRateMultipliers(["a"]), TypeError, "multipliers"),
        (
            lambda t: optimizers.LearningRateMultipliers({"a": -1.0}),
            ValueError,
            "multipliers",
        ),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make(optimizers.Centralize())


def test_misuse_is_named():
    variable = keras.Variable([1.0], name="only")
    optimizer = optimizers.GradientTransform("sgd", [optimizers.Centralize()])
    with pytest.raises(ValueError, match="must be built"):
        optimizer.frozen()
    optimizer.build([variable])
    with pytest.raises(ValueError, match="requires `Freeze`"):
        optimizer.freeze("only")
    again = optimizers.GradientTransform("sgd", optimizer.transforms)
    with pytest.raises(ValueError, match="belong to one optimizer"):
        again.build([variable])
    frozen = optimizers.GradientTransform("sgd", [optimizers.Freeze(["other"])])
    with pytest.raises(ValueError, match="'only'"):
        frozen.build([variable])


def test_every_transform_comes_back_from_its_config():
    for transform in all_transforms():
        config = keras.saving.serialize_keras_object(transform)
        again = keras.saving.deserialize_keras_object(config)
        assert type(again) is type(transform)
        assert again.get_config() == transform.get_config()


def test_layers_decay_towards_the_input_whatever_is_around_them():
    def multipliers(model, *arguments):
        transform = optimizers.LayerwiseDecay(0.5, *arguments)
        optimizer = optimizers.GradientTransform("sgd", [transform])
        optimizer.build(model.trainable_variables)
        return list(optimizer.multipliers().values())

    layers = [keras.layers.Dense(2, name=name) for name in ("a", "b", "c")]
    model = keras.Sequential([keras.Input((2,)), *layers])
    expected = [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
    assert multipliers(model) == expected
    inputs = keras.Input((2,))
    outputs = inputs
    for layer in layers:
        outputs = keras.layers.Dense(2, name=layer.name + "2")(outputs)
    assert multipliers(keras.Model(inputs, outputs)) == expected
    one = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    assert multipliers(one) == [1.0, 1.0]
    assert multipliers(model, ["b/", "c/"]) == [1.0, 1.0, 0.5, 0.5, 1.0, 1.0]


def built(model, transform):
    optimizer = optimizers.GradientTransform("sgd", [transform])
    optimizer.build(model.trainable_variables)
    return optimizer


def loaded(transform):
    """The transform as a saved model would bring it back."""
    config = keras.saving.serialize_keras_object(transform)
    json.dumps(config)
    return keras.saving.deserialize_keras_object(config)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (lambda m: {}, []),
        (lambda m: {"include": []}, []),
        (lambda m: {"include": "backbone/"}, ["backbone/kernel", "backbone/bias"]),
        (lambda m: {"include": ["b.*/bias"]}, ["backbone/bias"]),
        (lambda m: {"include": m.layers[0]}, ["backbone/kernel", "backbone/bias"]),
        (lambda m: {"include": m.layers[1].bias}, ["head/bias"]),
        (lambda m: {"include": m, "exclude": ["kernel", "head/"]}, ["backbone/bias"]),
        (lambda m: {"exclude": m.layers[0]}, ["head/kernel", "head/bias"]),
        (
            lambda m: {"include": lambda v: len(v.shape) == 1},
            ["backbone/bias", "head/bias"],
        ),
    ],
)
def test_frozen_weights_are_selected_and_saved(arguments, expected):
    model = model_with("sgd")
    expected = [f"{model.name}/{path}" for path in expected]
    transform = optimizers.Freeze(**arguments(model))
    assert built(model, transform).frozen() == expected
    assert built(model, loaded(transform)).frozen() == expected


@pytest.mark.parametrize("kind", ["functional", "sequential", "in_a_sequential"])
def test_the_name_of_a_backbone_selects_all_in_it(kind):
    inputs = keras.Input((6,))
    if kind == "functional":
        dense = keras.layers.Dense(4, name="first")
        backbone = keras.Model(inputs, dense(inputs), name="base_1x")
    else:
        layers = [keras.Input((6,)), keras.layers.Dense(4, name="first")]
        backbone = keras.Sequential(layers, name="base_1x")
    held = backbone if kind == "functional" else keras.Sequential([inputs, backbone])
    # Of the same name, but in another model.
    keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)], name="base_1x")
    head = keras.layers.Dense(2, name="head")
    model = keras.Sequential([keras.Input((6,)), held, head])
    optimizer = optimizers.GradientTransform(
        "sgd", [optimizers.Freeze([backbone.name])]
    )
    model.compile(optimizer, loss="mse")
    before = [keras.ops.convert_to_numpy(w).copy() for w in model.weights]
    fit(model, epochs=1)
    moved = [
        bool((keras.ops.convert_to_numpy(weight) != old).any())
        for weight, old in zip(model.weights, before, strict=True)
    ]
    assert moved == [False, False, True, True]
    assert optimizer.frozen() == [weight.path for weight in backbone.weights]
    optimizer.unfreeze(backbone.name)
    optimizer.freeze(exclude="base_1x")
    assert optimizer.frozen() == [weight.path for weight in head.weights]
    with pytest.raises(ValueError, match="must match at least one variable"):
        optimizer.freeze("base_2")


def test_a_backbone_by_name_stays_frozen_in_a_loaded_model(tmp_path):
    layers = [keras.Input((6,)), keras.layers.Dense(4)]
    backbone = keras.Sequential(layers, name="base")
    model = keras.Sequential([keras.Input((6,)), backbone, keras.layers.Dense(2)])
    transforms = [
        optimizers.Freeze("base"),
        optimizers.LearningRateMultipliers({"base": 0.5}),
    ]
    model.compile(optimizers.GradientTransform("sgd", transforms), loss="mse")
    fit(model, epochs=1)
    model.save(tmp_path / "model.keras")
    del model, backbone
    optimizer = keras.models.load_model(tmp_path / "model.keras").optimizer
    assert len(optimizer.frozen()) == 2
    assert list(optimizer.multipliers().values()) == [0.5, 0.5, 1, 1]


def test_a_function_is_saved_once_the_optimizer_is_built():
    model = model_with("sgd")
    for transform in (
        optimizers.Freeze(lambda v: "head" in v.path),
        optimizers.AdaptiveClip(exclude=lambda v: "head" in v.path),
        optimizers.LearningRateMultipliers({(lambda v: "head" in v.path): 0.5}),
        optimizers.LayerwiseDecay(0.5, [lambda v: "head" in v.path]),
    ):
        with pytest.raises(ValueError, match="optimizer.build"):
            transform.get_config()
        built(model, transform)
        assert "head/bias" in json.dumps(transform.get_config())
        built(model, loaded(transform))


def test_multipliers_of_layers_and_functions_are_those_of_their_patterns():
    model = model_with("sgd")
    by_layer = optimizers.LearningRateMultipliers(
        {model.layers[0]: 0.5, "head/bias": 2.0, (lambda v: True): 3.0}
    )
    assert list(built(model, by_layer).multipliers().values()) == [0.5, 0.5, 3.0, 2.0]
    optimizer = built(model, loaded(by_layer))
    assert list(optimizer.multipliers().values()) == [0.5, 0.5, 3.0, 2.0]
    optimizer.set_multiplier(0.25, exclude="bias")
    assert list(optimizer.multipliers().values()) == [0.25, 0.5, 0.25, 2.0]
    groups = [model.layers[0].kernel, [model.layers[1]]]
    decay = optimizers.LayerwiseDecay(0.5, groups)
    assert list(built(model, decay).multipliers().values()) == [0.5, 1.0, 1.0, 1.0]
    assert list(built(model, loaded(decay)).multipliers().values()) == [0.5, 1, 1, 1]


def test_weights_are_frozen_and_unfrozen_by_every_kind_of_selection():
    model = model_with("sgd")
    optimizer = built(model, optimizers.Freeze())
    optimizer.freeze(exclude=model.layers[1])
    assert optimizer.frozen() == [
        "sequential/backbone/kernel",
        "sequential/backbone/bias",
    ]
    optimizer.unfreeze(lambda variable: len(variable.shape) == 2)
    assert optimizer.frozen() == ["sequential/backbone/bias"]
    optimizer.freeze()
    assert len(optimizer.frozen()) == 4
    with pytest.raises(ValueError, match="`include` must match at least one variable"):
        optimizer.unfreeze("haed")
    assert len(optimizer.frozen()) == 4


def test_adaptive_clip_leaves_what_it_does_not_select():
    first, second = (keras.Variable([1.0], name=name) for name in ("one", "two"))
    for arguments in ({"include": "one"}, {"exclude": second}):
        clip = optimizers.AdaptiveClip(0.5, **arguments)
        optimizer = optimizers.GradientTransform(keras.optimizers.SGD(1.0), [clip])
        first.assign([1.0]), second.assign([1.0])
        optimizer.apply([keras.ops.ones(1) * 4, keras.ops.ones(1) * 4], [first, second])
        # Clipped to half the norm of the weight, 0.5; not clipped.
        np.testing.assert_allclose(keras.ops.convert_to_numpy(first), [0.5], rtol=1e-6)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(second), [-3.0])
    with pytest.raises(ValueError, match="`exclude` must match at least one variable"):
        optimizers.GradientTransform(
            "sgd", [optimizers.AdaptiveClip(exclude="three")]
        ).build([first])
