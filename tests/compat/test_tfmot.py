"""Scripts written for TFMOT run on Keras 3 with one changed import."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_strategies import compression, export
from keras_strategies.compat import tfmot
from keras_strategies.compat.tfmot.clustering import keras as clustering
from keras_strategies.compat.tfmot.sparsity import keras as sparsity

pytestmark = pytest.mark.tensorflow
L = keras.layers


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return (data.images[..., None] / 16).astype("float32"), data.target


def _model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(12, 3, activation="relu"),
            L.Flatten(),
            L.Dense(10, activation="softmax"),
        ]
    )


def _compile(model):
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])


def _zeros(model):
    return [float((np.asarray(w) == 0).mean()) for w in model.weights if w.ndim > 1]


def test_the_pruning_tutorial(digits, tmp_path):
    x, y = digits
    model = _model()
    _compile(model)
    model.fit(x, y, epochs=2, verbose=0)
    prune_low_magnitude = tfmot.sparsity.keras.prune_low_magnitude
    pruning_params = {
        "pruning_schedule": tfmot.sparsity.keras.PolynomialDecay(
            initial_sparsity=0.50,
            final_sparsity=0.80,
            begin_step=0,
            end_step=50,
            frequency=10,
        )
    }
    pruned = prune_low_magnitude(model, **pruning_params)
    _compile(pruned)
    callbacks = [
        tfmot.sparsity.keras.UpdatePruningStep(),
        tfmot.sparsity.keras.PruningSummaries(log_dir=tmp_path / "logs"),
    ]
    pruned.fit(x, y, epochs=2, verbose=0, callbacks=callbacks)
    export = tfmot.sparsity.keras.strip_pruning(pruned)
    assert _zeros(export) == pytest.approx([0.8, 0.8], abs=0.01)
    assert list((tmp_path / "logs" / "train").iterdir())
    export.save(tmp_path / "pruned.keras")
    with tfmot.sparsity.keras.prune_scope():
        loaded = keras.models.load_model(tmp_path / "pruned.keras")
    np.testing.assert_allclose(loaded.predict(x[:4], verbose=0), export(x[:4]), 1e-5)


def test_single_layers_start_with_the_callback(digits):
    x, y = digits
    schedule = sparsity.ConstantSparsity(0.75, 0, frequency=1)
    hidden = sparsity.prune_low_magnitude(L.Dense(32, activation="relu"), schedule)
    model = keras.Sequential([keras.Input((8, 8, 1)), L.Flatten(), hidden, L.Dense(10)])
    _compile(model)
    with pytest.raises(RuntimeError, match=r"pass tfmot.*UpdatePruningStep\(\)"):
        model.fit(x, y, verbose=0)
    _compile(model)
    model.fit(x, y, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    assert _zeros(model) == [0.75, 0.0]


def test_policies():
    class OnlyLarge(sparsity.PruningPolicy):
        def allow_pruning(self, layer):
            return isinstance(layer, L.Dense)

        def ensure_model_supports_pruning(self, model):
            if len(model.layers) < 2:
                raise ValueError("too few layers")

    model = _model()
    sparsity.prune_low_magnitude(
        model,
        sparsity.ConstantSparsity(0.5, 0, frequency=1),
        pruning_policy=OnlyLarge(),
    )
    _compile(model)
    x = np.random.default_rng(0).random((32, 8, 8, 1))
    model.fit(x, np.zeros(32), verbose=0)
    assert _zeros(model) == [0.0, 0.5]
    one = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    _compile(one)
    optimizer = one.optimizer
    with pytest.raises(ValueError, match="too few layers"):
        sparsity.prune_low_magnitude(one, pruning_policy=OnlyLarge())
    assert one.optimizer is optimizer and one.compiled
    with pytest.raises(ValueError, match="xnnpack"):
        sparsity.prune_low_magnitude(
            one, pruning_policy=sparsity.PruneForLatencyOnXNNPack()
        )


@pytest.mark.parametrize(
    "init",
    [
        pytest.param(init, marks=[pytest.mark.slow] * (init.name != "KMEANS_PLUS_PLUS"))
        for init in clustering.CentroidInitialization
    ],
)
def test_the_clustering_tutorial(init, digits):
    x, y = digits
    model = _model()
    _compile(model)
    model.fit(x, y, verbose=0)
    clustered = clustering.cluster_weights(
        model, number_of_clusters=8, cluster_centroids_init=init
    )
    _compile(clustered)
    clustered.fit(x, y, verbose=0)
    final = clustering.strip_clustering(clustered)
    for weight in final.weights:
        if weight.ndim > 1:
            assert len(np.unique(weight)) <= 8


def test_clustering_one_layer_and_keeping_zeros(digits):
    x, y = digits
    model = _model()
    _compile(model)
    model.fit(x, y, verbose=0)

    def only_dense(layer):
        if isinstance(layer, L.Dense):
            return clustering.cluster_weights(layer, number_of_clusters=4)
        return layer

    clone = keras.models.clone_model(model, clone_function=only_dense)
    _compile(clone)
    clone.fit(x, y, verbose=0)
    assert len(np.unique(clone.layers[-1].kernel)) <= 4
    assert len(np.unique(clone.layers[0].kernel)) > 4
    again = _model()
    kernel = np.array(again.layers[-1].kernel)
    kernel[:200] = 0
    again.layers[-1].kernel.assign(kernel)
    clustering.experimental.cluster_weights(
        again, 6, clustering.CentroidInitialization.LINEAR, preserve_sparsity=True
    )
    _compile(again)
    again.fit(x, y, verbose=0)
    assert (np.asarray(again.layers[-1].kernel)[:200] == 0).all()


def test_custom_layers_say_what_is_pruned(digits):
    class Scaled(L.Dense, sparsity.PrunableLayer):
        def get_prunable_weights(self):
            return []

    model = keras.Sequential([keras.Input((8,)), Scaled(8), L.Dense(4)])
    sparsity.prune_low_magnitude(model, sparsity.ConstantSparsity(0.5, 0, frequency=1))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((32, 8))
    model.fit(x, x[:, :4], verbose=0)
    assert _zeros(model) == [0.0, 0.5]


class _Unnamed(L.Layer):
    """A custom layer that does not say what can be pruned in it."""


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: sparsity.prune_low_magnitude(3), ValueError, "`to_prune` must be"),
        (
            lambda: clustering.cluster_weights("model", 4),
            ValueError,
            "`to_cluster` must be a Layer. Received: to_cluster='str'",
        ),
        (
            lambda: sparsity.prune_low_magnitude([_Unnamed()]),
            ValueError,
            "be a tfmot.sparsity.keras.PrunableLayer",
        ),
        (
            lambda: tfmot.quantization.keras.quantize_model(L.Dense(2)),
            ValueError,
            "`quantize_annotate_layer` for single layers",
        ),
        (
            lambda: tfmot.quantization.keras.quantize_annotate_layer(_model()),
            ValueError,
            "must not be a model",
        ),
        (
            lambda: sparsity.prune_low_magnitude(_model(), lambda step: 0.5),
            ValueError,
            "`pruning_schedule` must be a PruningSchedule",
        ),
        (
            lambda: sparsity.prune_low_magnitude(_model(), name="x"),
            TypeError,
            "no further arguments",
        ),
        (
            lambda: sparsity.prune_low_magnitude(_model(), block_pooling_type="SUM"),
            ValueError,
            "`block_pooling_type` must be one of",
        ),
        (
            lambda: clustering.cluster_weights(_model(), 4, "LINEAR"),
            TypeError,
            "`cluster_centroids_init` must be",
        ),
        (
            lambda: clustering.cluster_weights(_model(), 1),
            ValueError,
            "`number_of_clusters` must be",
        ),
    ],
)
def test_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_the_quantization_tutorial(digits, tmp_path):
    x, y = digits
    model = _model()
    _compile(model)
    model.fit(x, y, epochs=2, verbose=0)
    aware = tfmot.quantization.keras.quantize_model(model)
    _compile(aware)
    aware.fit(x, y, verbose=0)
    result = export.to_tflite(
        aware, tmp_path / "model.tflite", quantization="int8", verify=x[:200]
    )
    assert result.tensor_types["int8"]["bytes"] > 0
    aware.save(tmp_path / "aware.keras")
    with tfmot.quantization.keras.quantize_scope():
        loaded = keras.models.load_model(tmp_path / "aware.keras")
    np.testing.assert_allclose(loaded.predict(x[:4], verbose=0), aware(x[:4]), 1e-5)


@pytest.mark.slow
def test_annotated_layers_alone_are_quantized(digits):
    x, y = digits
    quantization = tfmot.quantization.keras
    model = _model()

    def only_dense(layer):
        if isinstance(layer, L.Dense):
            return quantization.quantize_annotate_layer(layer)
        return layer

    annotated = keras.models.clone_model(model, clone_function=only_dense)
    aware = quantization.quantize_apply(annotated)
    _compile(aware)
    aware.fit(x, y, verbose=0)
    report = str(compression.range_report(aware))
    assert "dense" in report and "conv2d" not in report
    with pytest.raises(ValueError, match="must have annotated layers"):
        quantization.quantize_apply(_model())
    whole = quantization.quantize_annotate_model(_model())
    assert "conv2d" in str(compression.range_report(quantization.quantize_apply(whole)))
