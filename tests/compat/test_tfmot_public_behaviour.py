"""What TFMOT's documents and tests promise beside its guides."""

import warnings

import keras
import numpy as np
import pytest

from keras_strategies import compression
from keras_strategies.compat import tfmot
from keras_strategies.compression.quantization import _roles

L = keras.layers
sparsity, clustering = tfmot.sparsity.keras, tfmot.clustering.keras
quantization = tfmot.quantization.keras
RNG = np.random.default_rng(0)
X, Y = RNG.random((32, 10)).astype("float32"), RNG.random((32, 2)).astype("float32")
AT_ONCE = {"pruning_schedule": sparsity.ConstantSparsity(0.5, 0, frequency=1)}


def _zeros(model):
    kernels = [w for w in model.trainable_variables if len(w.shape) == 2]
    return [float(np.mean(keras.ops.convert_to_numpy(w) == 0)) for w in kernels]


def _distinct(layer):
    return len(np.unique(keras.ops.convert_to_numpy(layer.kernel)))


def _train(model, **arguments):
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, **arguments)


@pytest.mark.parametrize("has_input", [True, False])
def test_a_list_of_layers_with_some_that_have_nothing_to_prune(has_input):
    given = [L.Dense(8), L.Dropout(0.2), L.Flatten(), L.Dense(2)]
    layers = sparsity.prune_low_magnitude(given, **AT_ONCE)
    assert layers == given
    model = keras.Sequential([keras.Input((10,)), *layers] if has_input else layers)
    _train(model, callbacks=[sparsity.UpdatePruningStep()])
    assert _zeros(model) == [0.5, 0.5]


def test_layers_and_models_that_are_not_built_yet():
    for target in (
        L.Dense(4, name="one"),
        keras.Sequential([L.Dense(8), L.Dense(4)]),
        [L.Dense(4)],
    ):
        given = sparsity.prune_low_magnitude(target, input_shape=(10,), **AT_ONCE)
        layers = given if isinstance(given, list) else [given]
        model = keras.Sequential([*layers, L.Dense(2)])
        assert model.built
        _train(model, callbacks=[sparsity.UpdatePruningStep()])
        assert _zeros(model)[:-1] == [0.5] * (len(_zeros(model)) - 1)
        assert _zeros(model)[-1] == 0.0


@pytest.mark.tensorflow
def test_clustering_of_what_is_not_built_yet():
    layer = clustering.cluster_weights(L.Dense(20), 4)
    model = keras.Sequential([keras.Input((10,)), layer, L.Dense(2)])
    assert _distinct(layer) == 4
    _train(model)
    assert _distinct(layer) == 4 < _distinct(model.layers[1])
    unbuilt = clustering.cluster_weights(keras.Sequential([L.Dense(20)]), 8)
    unbuilt.build((None, 10))
    assert _distinct(unbuilt.layers[0]) == 8


@pytest.mark.tensorflow
def test_values_by_channel():
    model = keras.Sequential([keras.Input((6, 6, 3)), L.Conv2D(4, 3)])
    model = clustering.cluster_weights(model, 4, cluster_per_channel=True)
    kernel = keras.ops.convert_to_numpy(model.layers[0].kernel)
    assert [len(np.unique(kernel[..., i])) for i in range(4)] == [4] * 4
    assert len(np.unique(kernel)) > 4
    assert clustering.strip_clustering(clustering.strip_clustering(model)) is model


def test_stripping_what_is_not_pruned_and_twice():
    model = keras.Sequential([keras.Input((10,)), L.Dense(2)])
    assert sparsity.strip_pruning(model) is model
    sparsity.prune_low_magnitude(model)
    assert sparsity.strip_pruning(sparsity.strip_pruning(model)) is model
    assert model.layers[0].kernel.constraint is None
    # A layer that waited for its pruning is free as well.
    waiting = sparsity.prune_low_magnitude(L.Dense(2), **AT_ONCE)
    model = keras.Sequential([keras.Input((10,)), waiting])
    sparsity.strip_pruning(model)
    _train(model)
    assert _zeros(model) == [0.0]


@pytest.mark.parametrize("wrap", [sparsity.prune_low_magnitude, lambda m: m])
def test_saving_before_compiling(wrap, tmp_path):
    model = keras.Sequential([keras.Input((10,)), L.Dense(2)])
    if wrap is sparsity.prune_low_magnitude:
        model.compile("adam", "mse")  # which pruning takes back
    wrap(model).save(tmp_path / "model.h5", include_optimizer=True)
    with sparsity.prune_scope():
        loaded = keras.models.load_model(tmp_path / "model.h5")
    np.testing.assert_array_equal(loaded.get_weights()[0], model.get_weights()[0])


class _Stairs(sparsity.PruningSchedule):
    def __init__(self, length=2):
        self.length = length

    def __call__(self, step):
        stairs = keras.ops.cast(step // self.length + 1, "float32")
        share = keras.ops.minimum(0.25 * stairs, 0.75)
        return keras.ops.equal(step % self.length, 0), share

    def get_config(self):
        return {"length": self.length}


def test_a_schedule_in_the_protocol_of_tfmot():
    model = keras.Sequential([keras.Input((10,)), L.Dense(8), L.Dense(2)])
    assert _Stairs.from_config(_Stairs(3).get_config()).length == 3
    sparsity.prune_low_magnitude(model, _Stairs())
    model.compile("sgd", "mse")
    shares = []
    for _ in range(6):
        model.train_on_batch(X, Y)
        shares.append(_zeros(model)[0])
    assert shares == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75]


def test_schedules_answer_with_a_decision_and_a_share():
    schedule = sparsity.PolynomialDecay(0.0, 0.8, 0, 100, frequency=50)
    decision, share = schedule(50)
    assert bool(decision) and float(share) == pytest.approx(0.7)
    assert not bool(schedule(51)[0])
    again = sparsity.PolynomialDecay.from_config(schedule.get_config())
    assert float(again(50)[1]) == float(share)
    for arguments in ((1.0, 0), (0.5, -1), (0.5, 10, 5), (0.5, 0, -1, 0)):
        with pytest.raises(ValueError, match="must be"):
            sparsity.ConstantSparsity(*arguments)


def test_the_documented_training_loop_of_ones_own():
    model = sparsity.prune_low_magnitude(
        keras.Sequential([keras.Input((10,)), L.Dense(2)]), **AT_ONCE
    )
    model.compile("sgd", "mse")
    callback = sparsity.UpdatePruningStep()
    callback.set_model(model)
    callback.on_train_begin()
    for _ in range(2):
        callback.on_train_batch_begin(batch=-1)
        model.train_on_batch(X, Y)
    callback.on_epoch_end(batch=-1)
    assert _zeros(model) == [0.5]


@pytest.fixture
def pruned_file(tmp_path):
    model = keras.Sequential([keras.Input((10,)), L.Dense(8), L.Dense(2)])
    sparsity.prune_low_magnitude(model, **AT_ONCE)
    _train(model)
    model.save(tmp_path / "pruned.keras")
    return tmp_path / "pruned.keras"


def test_a_model_loaded_in_the_scope_keeps_its_zeros(pruned_file):
    with sparsity.prune_scope():
        loaded = keras.models.load_model(pruned_file)
    loaded.fit(X, Y, epochs=2, verbose=0)
    assert _zeros(loaded) == [0.5, 0.5]
    # Outside, Keras loads as always.
    assert keras.models.load_model(pruned_file).layers[0].kernel.constraint is None
    # It can be pruned on, to more.
    more = sparsity.ConstantSparsity(0.75, 0, frequency=1)
    _train(sparsity.prune_low_magnitude(loaded, more))
    assert _zeros(loaded) == [0.75, 0.75]


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_model_loaded_in_the_scope_keeps_its_values(per_channel, tmp_path):
    clustering = tfmot.clustering.keras
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((10,)),
            L.Reshape((10, 1)),
            L.Conv1D(3, 8, name="conv"),
            L.Flatten(),
            L.Dense(2),
        ]
    )
    clustering.cluster_weights(model, 3, cluster_per_channel=per_channel)
    _train(model)
    model.save(tmp_path / "clustered.keras")
    with clustering.cluster_scope():
        loaded = keras.models.load_model(tmp_path / "clustered.keras")
    outside = keras.models.load_model(tmp_path / "clustered.keras")
    assert outside.layers[-1].kernel.constraint is None
    before = loaded.layers[-1].get_weights()[0]
    loaded.compile("sgd", "mse")
    loaded.fit(X, Y, epochs=2, verbose=0)
    counts = [len(np.unique(layer.get_weights()[0])) for layer in loaded.layers[1::2]]
    assert max(counts) <= (9 if per_channel else 3)
    assert (before != loaded.layers[-1].get_weights()[0]).any()
    # It can be clustered on, and ended.
    clustering.cluster_weights(loaded, 3, cluster_per_channel=per_channel)
    clustering.strip_clustering(loaded)
    assert loaded.layers[-1].kernel.constraint is None


def test_a_loaded_model_keeps_its_zeros_with_the_callback(pruned_file):
    loaded = keras.models.load_model(pruned_file)
    with pytest.warns(UserWarning, match="its zeros stay, and no others come"):
        loaded.fit(X, Y, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    assert _zeros(loaded) == [0.5, 0.5]
    dense = keras.Sequential([keras.Input((10,)), L.Dense(2)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        _train(dense, callbacks=[sparsity.UpdatePruningStep()])
    assert _zeros(dense) == [0.0]


class Mine(L.Dense):
    """A class that only a scope knows."""


class Other(L.Dense):
    """Another one."""


def test_scopes_nest_on_both_sides():
    configs = [keras.saving.serialize_keras_object(kind(3)) for kind in (Mine, Other)]
    around = keras.saving.custom_object_scope
    for outer, inner in (
        (quantization.quantize_scope, around),
        (around, quantization.quantize_scope),
        (quantization.quantize_scope, quantization.quantize_scope),
    ):
        with outer({"Mine": Mine}), inner({"Other": Other}):
            objects = [keras.saving.deserialize_keras_object(c) for c in configs]
        assert [type(item) for item in objects] == [Mine, Other]
    assert "Mine" not in keras.saving.get_custom_objects()


def relu(x):
    """Not Keras's, whatever its name."""
    return keras.ops.minimum(keras.ops.relu(x), 40.0)


def hardly_different(x):
    return keras.ops.relu(x) + 1e-3


def plain(x):
    return keras.ops.maximum(x, 0.0)


def test_a_function_is_known_by_its_values():
    assert _roles.activation_kind(plain) == _roles.FUSED
    assert _roles.canonical_activation(plain) is keras.activations.relu
    assert _roles.activation_kind(lambda x: x) == _roles.FUSED
    assert _roles.activation_kind(relu) is None
    assert _roles.activation_kind(hardly_different) is None
    assert _roles.activation_kind(lambda x, y: x + y) is None


@pytest.mark.tensorflow
def test_activations_of_tensorflow(tmp_path):
    import tensorflow as tf

    given = (tf.nn.relu, tf.nn.relu6, tf.nn.swish, tf.nn.softmax, tf.tanh, tf.sigmoid)
    names = ("relu", "relu6", "silu", "softmax", "tanh", "sigmoid")
    for function, name in zip(given, names, strict=True):
        known = _roles.canonical_activation(function)
        assert known is keras.activations.get(name)
    x = RNG.random((4, 8, 8, 1)).astype("float32")
    models = []
    for relu_, softmax in ((tf.nn.relu, tf.nn.softmax), ("relu", "softmax")):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                L.Conv2D(4, 3, activation=relu_),
                L.Activation(relu_),
                L.Flatten(),
                L.Dense(3, activation=softmax),
            ]
        )
        aware = quantization.quantize_model(model)
        aware(x, training=True)
        models.append(aware)
    np.testing.assert_array_equal(models[0](x), models[1](x))
    models[0].save(tmp_path / "aware.keras")
    loaded = keras.models.load_model(tmp_path / "aware.keras")
    np.testing.assert_array_equal(loaded(x), models[1](x))


def test_clusters_are_kept_without_any_zeros():
    model = keras.Sequential([keras.Input((10,)), L.Dense(8), L.Dense(2)])
    compression.strip(compression.cluster(model, 4))
    scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme()
    annotated = quantization.quantize_annotate_model(model)
    aware = quantization.quantize_apply(annotated, scheme)
    _train(aware)
    assert _distinct(aware.get_layer(model.layers[0].name).layer) == 4


def test_ranges_with_one_value_less():
    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    options = {"input_min": -127, "input_max": 127, "narrow_range": True}
    fixed = quantization.fix_input_output_range(
        quantization.quantize_model(model),
        output_min=-127,
        output_max=127,
        **options,
    )
    layer = next(x for x in fixed.layers if hasattr(x, "narrow_range"))
    assert layer.narrow_range
    values = np.array([[-200.0, -0.4, 0.6, 126.6]], "float32")
    rounded = keras.ops.convert_to_numpy(layer(values))
    np.testing.assert_allclose(rounded, [[-127.0, 0.0, 1.0, 127.0]], atol=1e-4)


def test_the_end_of_one_technique_is_not_that_of_another():
    model = keras.Sequential([keras.Input((10,)), L.Dense(8)])
    clustering.experimental.cluster_weights(model, 4, preserve_sparsity=True)
    sparsity.strip_pruning(model)
    assert model.layers[0].kernel.constraint is not None
    clustering.strip_clustering(model)
    sparsity.prune_low_magnitude(model, **AT_ONCE)
    clustering.strip_clustering(model)
    assert model.layers[0].kernel.constraint is not None
