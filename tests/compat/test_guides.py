"""TFMOT's twelve guides on small data: their calls in their order, one import changed.

Each test is named after the page. The calls are those of the guides, the models and the
data are smaller.
"""

import gzip
import os

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_strategies.compat import tfmot

pytestmark = [
    pytest.mark.tensorflow,
    # The converter's, for models that have their ranges in them.
    pytest.mark.filterwarnings("ignore:Statistics for quantized inputs"),
]


@pytest.fixture(scope="module")
def tf():
    import tensorflow

    return tensorflow


@pytest.fixture(scope="module")
def data():
    digits = load_digits()
    images = (digits.images / 16).astype("float32")
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], digits.target[order]
    return (images[:1400], labels[:1400]), (images[1400:], labels[1400:])


def _layers(tf):
    relu = tf.nn.relu
    return [
        tf.keras.layers.InputLayer(shape=(8, 8)),
        tf.keras.layers.Reshape(target_shape=(8, 8, 1)),
        tf.keras.layers.Conv2D(filters=12, kernel_size=(3, 3), activation=relu),
        tf.keras.layers.MaxPooling2D(pool_size=(2, 2)),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(10),
    ]


@pytest.fixture(scope="module")
def weights(tf, data):
    """Weights of the trained model that most guides begin with."""
    keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(_layers(tf))
    _compile(tf, model, 5e-3)
    model.fit(*data[0], epochs=12, verbose=0)
    return model.get_weights()


@pytest.fixture
def model(tf, weights):
    model = tf.keras.Sequential(_layers(tf))
    model.set_weights(weights)
    return model


def _compile(tf, model, rate=1e-3):
    model.compile(
        optimizer=tf.keras.optimizers.Adam(rate),
        loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def _accuracy(model, data):
    return model.evaluate(*data[1], verbose=0)[1]


def _kernels(model):
    parts = [keras.ops.convert_to_numpy(w) for w in model.trainable_weights]
    return [part for part in parts if part.ndim > 1]


def _zeros(model):
    return [float(np.mean(kernel == 0)) for kernel in _kernels(model)]


def _convert(tf, model, *optimizations):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = list(optimizations)
    return converter.convert()


def _evaluate_file(content, data):
    """The guides' loop over the interpreter."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]
    digits = []
    for image in data[1][0]:
        interpreter.set_tensor(input_index, np.expand_dims(image, 0))
        interpreter.invoke()
        digits.append(np.argmax(interpreter.tensor(output_index)()[0]))
    return float(np.mean(np.array(digits) == data[1][1]))


def _zipped(content):
    return len(gzip.compress(content, mtime=0))


def test_pruning_with_keras(tf, data, model, tmp_path):
    prune_low_magnitude = tfmot.sparsity.keras.prune_low_magnitude
    end_step = int(np.ceil(1400 / 64)) * 2
    pruning_params = {
        "pruning_schedule": tfmot.sparsity.keras.PolynomialDecay(
            initial_sparsity=0.50,
            final_sparsity=0.80,
            begin_step=0,
            end_step=end_step,
            frequency=2,
        )
    }
    model_for_pruning = prune_low_magnitude(model, **pruning_params)
    _compile(tf, model_for_pruning, 5e-3)
    model_for_pruning.fit(
        *data[0],
        batch_size=64,
        epochs=3,
        verbose=0,
        validation_split=0.1,
        callbacks=[
            tfmot.sparsity.keras.UpdatePruningStep(),
            tfmot.sparsity.keras.PruningSummaries(log_dir=str(tmp_path)),
        ],
    )
    assert _accuracy(model_for_pruning, data) > 0.85
    model_for_export = tfmot.sparsity.keras.strip_pruning(model_for_pruning)
    assert _zeros(model_for_export) == pytest.approx([0.8, 0.8], abs=0.01)
    path = os.path.join(tmp_path, "pruned.h5")
    tf.keras.models.save_model(model_for_export, path, include_optimizer=False)
    loaded = tf.keras.models.load_model(path, compile=False)
    np.testing.assert_array_equal(_kernels(loaded)[0], _kernels(model_for_export)[0])
    baseline = tf.keras.Sequential(_layers(tf))
    plain = _zipped(_convert(tf, baseline))
    assert _zipped(_convert(tf, model_for_export)) < 0.7 * plain
    small = _convert(tf, model_for_export, tf.lite.Optimize.DEFAULT)
    assert _evaluate_file(small, data) > 0.85


@pytest.mark.slow
def test_comprehensive_guide_to_pruning(tf, data, model, tmp_path):
    prune = tfmot.sparsity.keras.prune_low_magnitude
    callback = tfmot.sparsity.keras.UpdatePruningStep
    at_once = tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=0, frequency=1)
    # Prune some layers: Dense only, by a clone function.

    def apply_pruning_to_dense(layer):
        if isinstance(layer, tf.keras.layers.Dense):
            return prune(layer, at_once)
        return layer

    chosen = tf.keras.models.clone_model(model, clone_function=apply_pruning_to_dense)
    _compile(tf, chosen)
    chosen.fit(*data[0], verbose=0, callbacks=[callback()])
    assert _zeros(chosen) == [0.0, 0.5]
    # The functional and the sequential form.
    i = tf.keras.Input(shape=(20,))
    x = prune(tf.keras.layers.Dense(10), at_once)(i)
    functional = tf.keras.Model(inputs=i, outputs=tf.keras.layers.Flatten()(x))
    sequential = tf.keras.Sequential(
        [
            tf.keras.Input((20,)),
            prune(tf.keras.layers.Dense(20), at_once),
            tf.keras.layers.Flatten(),
        ]
    )
    x, y = np.random.rand(20, 20), np.random.rand(20, 20)
    for small, target in ((functional, y[:, :10]), (sequential, y)):
        small.compile("adam", "mse")
        small.fit(x, target, verbose=0, callbacks=[callback()])
        assert _zeros(small) == [0.5]

    # A custom layer says what is pruned.
    class MyDenseLayer(tf.keras.layers.Dense, tfmot.sparsity.keras.PrunableLayer):
        def get_prunable_weights(self):
            return [self.kernel, self.bias]

    own = tf.keras.Sequential(
        [tf.keras.Input((20,)), MyDenseLayer(20), tf.keras.layers.Flatten()]
    )
    own = prune(own, at_once)
    own.compile("adam", "mse")
    own.fit(x, y, epochs=2, verbose=0, callbacks=[callback()])
    assert float(np.mean(own.layers[0].bias.numpy() == 0)) == 0.5
    # TensorBoard; checkpoints; a loop of one's own.
    log_dir = str(tmp_path / "logs")
    callbacks = [callback(), tfmot.sparsity.keras.PruningSummaries(log_dir=log_dir)]
    for entry in callbacks:
        entry.set_model(own)
    own.optimizer = optimizer = tf.keras.optimizers.Adam()
    step_callback, log_callback = callbacks
    step_callback.on_train_begin()
    for _ in range(2):
        log_callback.on_epoch_begin(epoch=-1)
        for _ in range(2):
            step_callback.on_train_batch_begin(batch=-1)
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((own(x, training=True) - y) ** 2)
            gradients = tape.gradient(loss, own.trainable_variables)
            optimizer.apply_gradients(
                zip(gradients, own.trainable_variables, strict=True)
            )
        step_callback.on_epoch_end(batch=-1)
    assert _zeros(own) == [0.5]
    # Saving, and loading to prune on.
    file = str(tmp_path / "model.keras")
    chosen.save(file)
    with tfmot.sparsity.keras.prune_scope():
        loaded = tf.keras.models.load_model(file)
    loaded.fit(*data[0], verbose=0, callbacks=[callback()])
    assert _zeros(loaded) == [0.0, 0.5]
    final = tfmot.sparsity.keras.strip_pruning(loaded)
    pruned = _zipped(_convert(tf, final))
    plain = tf.keras.Sequential(_layers(tf))
    assert pruned < 0.9 * _zipped(_convert(tf, plain))


def _mobile(tf):
    layers = tf.keras.layers
    i = tf.keras.Input((16, 16, 3))
    x = layers.ZeroPadding2D(padding=(1, 1))(i)
    x = layers.Conv2D(8, (3, 3), strides=(2, 2), padding="valid", activation="relu")(x)
    for _ in range(2):
        x = layers.ZeroPadding2D(padding=(1, 1))(x)
        x = layers.DepthwiseConv2D((3, 3), strides=(1, 1), padding="valid")(x)
        x = layers.Conv2D(16, (1, 1), activation="relu")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return tf.keras.Model(i, layers.Flatten()(layers.Conv2D(4, (1, 1))(x)))


@pytest.mark.slow
def test_pruning_for_on_device_inference_with_xnnpack(tf):
    model = _mobile(tf)
    schedule = tfmot.sparsity.keras.ConstantSparsity(0.75, 0, frequency=1)
    model = tfmot.sparsity.keras.prune_low_magnitude(
        model,
        pruning_schedule=schedule,
        pruning_policy=tfmot.sparsity.keras.PruneForLatencyOnXNNPack(),
    )
    model.compile("adam", "mse")
    x, y = np.random.rand(16, 16, 16, 3), np.random.rand(16, 4)
    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks)
    model = tfmot.sparsity.keras.strip_pruning(model)
    sparsity = {
        layer.name: float(np.mean(layer.kernel.numpy() == 0))
        for layer in model.layers
        if isinstance(layer, tf.keras.layers.Conv2D)
    }
    assert sorted(sparsity.values()) == pytest.approx([0, 0.75, 0.75, 0.75], abs=0.01)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    assert len(converter.convert()) > 1000


@pytest.mark.slow
def test_structural_pruning_2_by_4(tf, data, model):
    pruning_params_2_by_4 = {"sparsity_m_by_n": (2, 4)}
    pruning_params_sparsity_0_5 = {
        "pruning_schedule": tfmot.sparsity.keras.ConstantSparsity(
            target_sparsity=0.5, begin_step=0, frequency=100
        )
    }
    keras.utils.set_random_seed(0)
    prune = tfmot.sparsity.keras.prune_low_magnitude
    layers = tf.keras.layers
    structured = tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 1)),
            prune(
                layers.Conv2D(8, 3, activation="relu", name="pruning_sparsity_0_5"),
                **pruning_params_sparsity_0_5,
            ),
            prune(
                layers.Conv2D(8, 3, activation="relu", name="structural_pruning"),
                **pruning_params_2_by_4,
            ),
            layers.Flatten(),
            prune(
                layers.Dense(10, name="structural_pruning_dense"),
                **pruning_params_2_by_4,
            ),
        ]
    )
    _compile(tf, structured, 5e-3)
    structured.fit(
        data[0][0][..., None],
        data[0][1],
        epochs=4,
        verbose=0,
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
    )
    stripped = tfmot.sparsity.keras.strip_pruning(structured)
    assert _zeros(stripped) == pytest.approx([0.5, 0.5, 0.5], abs=0.01)
    dense = stripped.get_layer("structural_pruning_dense").kernel.numpy()
    assert (np.sum(dense.reshape(-1, 4, 10) == 0, axis=1) >= 2).all()
    convolution = stripped.get_layer("structural_pruning").kernel.numpy()
    assert (np.sum(convolution.reshape(3, 3, 2, 4, 8) == 0, axis=3) >= 2).all()
    pictures = (data[1][0][..., None], data[1][1])
    assert _accuracy(stripped, (None, pictures)) > 0.8
    assert len(_convert(tf, stripped, tf.lite.Optimize.EXPERIMENTAL_SPARSITY)) > 1000


@pytest.mark.slow
def test_weight_clustering_with_keras(tf, data, model):
    cluster_weights = tfmot.clustering.keras.cluster_weights
    CentroidInitialization = tfmot.clustering.keras.CentroidInitialization
    clustering_params = {
        "number_of_clusters": 16,
        "cluster_centroids_init": CentroidInitialization.LINEAR,
    }
    clustered_model = cluster_weights(model, **clustering_params)
    _compile(tf, clustered_model, 1e-4)
    clustered_model.fit(
        *data[0], batch_size=500, epochs=1, validation_split=0.1, verbose=0
    )
    assert _accuracy(clustered_model, data) > 0.85
    final_model = tfmot.clustering.keras.strip_clustering(clustered_model)
    assert all(len(np.unique(kernel)) <= 16 for kernel in _kernels(final_model))
    plain = _zipped(_convert(tf, tf.keras.Sequential(_layers(tf))))
    assert _zipped(_convert(tf, final_model)) < 0.7 * plain
    small = _convert(tf, final_model, tf.lite.Optimize.DEFAULT)
    assert _evaluate_file(small, data) > 0.85


@pytest.mark.slow
def test_comprehensive_guide_to_clustering(tf, data, model, tmp_path):
    cluster_weights = tfmot.clustering.keras.cluster_weights
    CentroidInitialization = tfmot.clustering.keras.CentroidInitialization
    parameters = {
        "number_of_clusters": 3,
        "cluster_centroids_init": CentroidInitialization.DENSITY_BASED,
    }
    file = str(tmp_path / "clustered.keras")
    whole = cluster_weights(model, **parameters)
    whole.save(file)
    with tfmot.clustering.keras.cluster_scope():
        loaded = tf.keras.models.load_model(file)
    assert [len(np.unique(kernel)) for kernel in _kernels(loaded)] == [3, 3]
    # Some layers.

    def apply_clustering_to_dense(layer):
        if isinstance(layer, tf.keras.layers.Dense):
            return cluster_weights(layer, **parameters)
        return layer

    plain = tf.keras.Sequential(_layers(tf))
    some = tf.keras.models.clone_model(plain, clone_function=apply_clustering_to_dense)
    _compile(tf, some)
    some.fit(*data[0], verbose=0)
    assert [len(np.unique(k)) <= 3 for k in _kernels(some)] == [False, True]
    # By channel, for convolutions.
    convolution = tf.keras.Sequential(
        [tf.keras.Input((8, 8, 2)), tf.keras.layers.Conv2D(6, 3)]
    )
    clustered = cluster_weights(
        convolution,
        number_of_clusters=3,
        cluster_centroids_init=CentroidInitialization.KMEANS_PLUS_PLUS,
        cluster_per_channel=True,
    )
    kernel = _kernels(tfmot.clustering.keras.strip_clustering(clustered))[0]
    assert [len(np.unique(kernel[..., i])) for i in range(6)] == [3] * 6

    # A custom layer says what is clustered.
    class MyDenseLayer(tf.keras.layers.Dense, tfmot.clustering.keras.ClusterableLayer):
        def get_clusterable_weights(self):
            return [("kernel", self.kernel)]

    own = tf.keras.Sequential(
        [tf.keras.Input((20,)), MyDenseLayer(20), tf.keras.layers.Flatten()]
    )
    own = cluster_weights(own, **parameters)
    own.compile("adam", "mse")
    own.fit(np.random.rand(20, 20), np.random.rand(20, 20), verbose=0)
    checkpoint = str(tmp_path / "own.weights.h5")
    own.save_weights(checkpoint)
    own.load_weights(checkpoint)
    final = tfmot.clustering.keras.strip_clustering(own)
    assert len(np.unique(_kernels(final)[0])) == 3
    assert len(_convert(tf, final)) > 500


@pytest.mark.slow
def test_quantization_aware_training_with_keras(tf, data, model):
    quantize_model = tfmot.quantization.keras.quantize_model
    q_aware_model = quantize_model(model)
    _compile(tf, q_aware_model)
    images, labels = data[0]
    q_aware_model.fit(
        images[:1000],
        labels[:1000],
        batch_size=500,
        epochs=2,
        validation_split=0.1,
        verbose=0,
    )
    expected = _accuracy(q_aware_model, data)
    assert expected > 0.85
    content = _convert(tf, q_aware_model, tf.lite.Optimize.DEFAULT)
    assert _evaluate_file(content, data) == pytest.approx(expected, abs=0.02)
    plain = tf.keras.Sequential(_layers(tf))
    assert len(content) < 0.75 * len(_convert(tf, plain))


@pytest.mark.slow
def test_comprehensive_guide_to_quantization_aware_training(tf, data, model, tmp_path):
    quantization = tfmot.quantization.keras
    annotate_layer = quantization.quantize_annotate_layer
    annotate_model = quantization.quantize_annotate_model
    quantizers = quantization.quantizers

    def apply_quantization_to_dense(layer):
        if isinstance(layer, tf.keras.layers.Dense):
            return annotate_layer(layer)
        return layer

    annotated = tf.keras.models.clone_model(
        model, clone_function=apply_quantization_to_dense
    )
    quantization.quantize_apply(annotated).summary(print_fn=lambda *a, **k: None)
    i = tf.keras.Input(shape=(20,))
    x = annotate_layer(tf.keras.layers.Dense(10))(i)
    functional = tf.keras.Model(inputs=i, outputs=tf.keras.layers.Flatten()(x))
    quantization.quantize_apply(functional)

    class DefaultDenseQuantizeConfig(quantization.QuantizeConfig):
        def get_weights_and_quantizers(self, layer):
            quantizer = quantizers.LastValueQuantizer(
                num_bits=8, symmetric=True, narrow_range=False, per_axis=False
            )
            return [(layer.kernel, quantizer)]

        def get_activations_and_quantizers(self, layer):
            quantizer = quantizers.MovingAverageQuantizer(
                num_bits=8, symmetric=False, narrow_range=False, per_axis=False
            )
            return [(layer.activation, quantizer)]

        def set_quantize_weights(self, layer, quantize_weights):
            layer.kernel = quantize_weights[0]

        def set_quantize_activations(self, layer, quantize_activations):
            layer.activation = quantize_activations[0]

        def get_output_quantizers(self, layer):
            return []

        def get_config(self):
            return {}

    class CustomLayer(tf.keras.layers.Dense):
        pass

    class FourBits(DefaultDenseQuantizeConfig):
        def get_weights_and_quantizers(self, layer):
            quantizer = quantizers.LastValueQuantizer(
                num_bits=4, symmetric=True, narrow_range=False, per_axis=False
            )
            return [(layer.kernel, quantizer)]

    class FixedRangeQuantizer(quantizers.Quantizer):
        def build(self, tensor_shape, name, layer):
            range_var = layer.add_weight(
                name + "_range",
                initializer=tf.keras.initializers.Constant(6.0),
                trainable=False,
            )
            return {"range_var": range_var}

        def __call__(self, inputs, training, weights, **kwargs):
            return tf.keras.ops.clip(inputs, 0.0, weights["range_var"])

        def get_config(self):
            return {}

    class FixedRange(DefaultDenseQuantizeConfig):
        def get_weights_and_quantizers(self, layer):
            return [(layer.kernel, FixedRangeQuantizer())]

    configs = {
        "DefaultDenseQuantizeConfig": DefaultDenseQuantizeConfig,
        "FourBits": FourBits,
        "FixedRange": FixedRange,
        "CustomLayer": CustomLayer,
    }
    x, y = np.random.rand(20, 20).astype("float32"), np.random.rand(20, 20)
    for layer, config in (
        (CustomLayer(20), DefaultDenseQuantizeConfig()),
        (tf.keras.layers.Dense(20), FourBits()),
        (tf.keras.layers.Dense(20), FixedRange()),
    ):
        small = annotate_model(
            tf.keras.Sequential(
                [
                    tf.keras.Input((20,)),
                    annotate_layer(layer, config),
                    tf.keras.layers.Flatten(),
                ]
            )
        )
        with quantization.quantize_scope(configs):
            aware = quantization.quantize_apply(small)
            aware.compile("adam", "mse")
            aware.fit(x, y, verbose=0)
            file = str(tmp_path / "aware.keras")
            aware.save(file)
            loaded = tf.keras.models.load_model(file)
        np.testing.assert_allclose(loaded(x), aware(x), atol=1e-6)
    whole = quantization.quantize_model(model)
    _compile(tf, whole)
    whole.fit(*data[0], verbose=0)
    whole.save_weights(str(tmp_path / "whole.weights.h5"))
    whole.load_weights(str(tmp_path / "whole.weights.h5"))
    content = _convert(tf, whole, tf.lite.Optimize.DEFAULT)
    assert _evaluate_file(content, data) > 0.85


def _quantization_aware(tf, stripped, scheme, data):
    """The last part of the guides that combine techniques."""
    annotated = tfmot.quantization.keras.quantize_annotate_model(stripped)
    aware = tfmot.quantization.keras.quantize_apply(annotated, scheme)
    _compile(tf, aware)
    aware.fit(*data[0], batch_size=128, epochs=1, validation_split=0.1, verbose=0)
    return aware


def _inner_kernels(aware):
    layers = [layer.layer for layer in aware.layers if hasattr(layer, "batch_norm")]
    return [keras.ops.convert_to_numpy(layer.kernel) for layer in layers]


@pytest.mark.slow
def test_cluster_preserving_quantization_aware_training(tf, data, model):
    CentroidInitialization = tfmot.clustering.keras.CentroidInitialization
    clustered = tfmot.clustering.keras.cluster_weights(
        model,
        number_of_clusters=8,
        cluster_centroids_init=CentroidInitialization.KMEANS_PLUS_PLUS,
        cluster_per_channel=True,
    )
    _compile(tf, clustered, 1e-4)
    clustered.fit(*data[0], epochs=1, validation_split=0.1, verbose=0)
    stripped = tfmot.clustering.keras.strip_clustering(clustered)
    plain = tfmot.quantization.keras.quantize_model(stripped)
    _compile(tf, plain)
    plain.fit(*data[0], batch_size=128, epochs=1, validation_split=0.1, verbose=0)
    scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme()
    cqat = _quantization_aware(tf, stripped, scheme, data)
    convolution, dense = _inner_kernels(cqat)
    assert all(len(np.unique(convolution[..., i])) <= 8 for i in range(12))
    assert len(np.unique(dense)) <= 8 < len(np.unique(_inner_kernels(plain)[1]))
    content = _convert(tf, cqat, tf.lite.Optimize.DEFAULT)
    assert _zipped(content) < _zipped(_convert(tf, plain, tf.lite.Optimize.DEFAULT))
    assert _evaluate_file(content, data) > 0.85


def _pruned_and_stripped(tf, data, model):
    pruned = tfmot.sparsity.keras.prune_low_magnitude(
        model,
        pruning_schedule=tfmot.sparsity.keras.ConstantSparsity(
            0.5, begin_step=0, frequency=100
        ),
    )
    _compile(tf, pruned)
    callbacks = [tfmot.sparsity.keras.UpdatePruningStep()]
    pruned.fit(*data[0], epochs=1, validation_split=0.1, callbacks=callbacks, verbose=0)
    return tfmot.sparsity.keras.strip_pruning(pruned)


@pytest.mark.slow
def test_sparsity_preserving_quantization_aware_training(tf, data, model):
    stripped = _pruned_and_stripped(tf, data, model)
    scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
    pqat = _quantization_aware(tf, stripped, scheme, data)
    assert [float(np.mean(k == 0)) for k in _inner_kernels(pqat)] == pytest.approx(
        [0.5, 0.5], abs=0.01
    )
    content = _convert(tf, pqat, tf.lite.Optimize.DEFAULT)
    assert _evaluate_file(content, data) > 0.85


@pytest.mark.slow
def test_sparse_clustering_and_pcqat(tf, data, model):
    """Two guides: sparsity preserving clustering, and quantization on top of it."""
    stripped = _pruned_and_stripped(tf, data, model)
    cluster_weights = tfmot.clustering.keras.experimental.cluster_weights
    CentroidInitialization = tfmot.clustering.keras.CentroidInitialization
    sparse = cluster_weights(
        stripped,
        number_of_clusters=8,
        cluster_centroids_init=CentroidInitialization.KMEANS_PLUS_PLUS,
        preserve_sparsity=True,
    )
    _compile(tf, sparse, 1e-4)
    sparse.fit(*data[0], epochs=1, validation_split=0.1, verbose=0)
    final = tfmot.clustering.keras.strip_clustering(sparse)
    for kernel in _kernels(final):
        assert len(np.unique(kernel)) <= 8 and np.mean(kernel == 0) >= 0.49
    small = _convert(tf, final, tf.lite.Optimize.DEFAULT)
    assert _evaluate_file(small, data) > 0.85
    qat = tfmot.quantization.keras.quantize_model(final)
    _compile(tf, qat)
    qat.fit(*data[0], batch_size=128, epochs=1, validation_split=0.1, verbose=0)
    scheme = tfmot.experimental.combine.Default8BitClusterPreserveQuantizeScheme(True)
    pcqat = _quantization_aware(tf, final, scheme, data)
    for kernel in _inner_kernels(pcqat):
        assert len(np.unique(kernel)) <= 8 and np.mean(kernel == 0) >= 0.49
    content = _convert(tf, pcqat, tf.lite.Optimize.DEFAULT)
    assert _zipped(content) < _zipped(_convert(tf, qat, tf.lite.Optimize.DEFAULT))
    assert _evaluate_file(content, data) > 0.85
