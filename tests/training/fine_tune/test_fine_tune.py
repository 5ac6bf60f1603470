"""Both phases: what moves when, at which rate; the mistakes that cannot be made."""

import keras
import numpy as np
import pytest

from keras_strategies import callbacks, training
from keras_strategies._internal import freezing
from keras_strategies.training._fine_tune.data import checked_data
from keras_strategies.training._fine_tune.depth_multipliers import DepthMultipliers
from tests.training.fine_tune.models import X, Y, backbone, values

L = keras.layers
QUIET = {"verbose": 0, "batch_size": 16, "seed": 0}


class Watch(keras.callbacks.Callback):
    """What moved in each epoch, by the name of the layer; the largest rate."""

    def __init__(self):
        super().__init__()
        self.epochs, self.rates = [], []

    def _layers(self):
        inner = self.model.get_layer("body").layers
        return [*inner, *self.model.layers]

    def on_epoch_begin(self, epoch, logs=None):
        self.before = freezing.digests(self.model, self._layers())

    def on_epoch_end(self, epoch, logs=None):
        moved = freezing.moved(
            self.before, freezing.digests(self.model, self._layers())
        )
        self.epochs.append({path.split("/")[-2] for path in moved})
        self.rates.append(
            float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        )


def head_only(moved):
    return moved <= {"head_output", "head_dropout"} and "head_output" in moved


def test_the_backbone_moves_in_the_second_phase_and_its_statistics_never():
    model, watch = training.attach_head(backbone(), classes=3), Watch()
    statistics = [
        model.get_layer("body").get_layer(name).moving_mean
        for name in ("norm_1", "norm_2")
    ]
    before = values(statistics)
    result = training.fine_tune(
        model, (X, Y), validation_data=(X, Y), epochs=(2, 2), callbacks=[watch], **QUIET
    )
    assert all(head_only(moved) for moved in watch.epochs[:2])
    for moved in watch.epochs[2:]:
        assert {"conv_1", "conv_2", "head_output"} <= moved
        assert not {"norm_1", "norm_2"} & moved
    for one, other in zip(before, values(statistics), strict=True):
        np.testing.assert_array_equal(one, other)
    assert [row["phase"] for row in result.rows] == ["head", "fine-tuning"]
    assert [row["trained"] for row in result.rows] == [21, 283]
    assert [row["epochs"] for row in result.rows] == [2, 2]
    assert len(result.history["val_accuracy"]) == 4
    assert result.first_epochs == 2
    assert "fine-tuning" in str(result)
    result.plot()
    rows = {row["layer"]: row for row in training.trainable_report(model).rows}
    assert rows["body/norm_1"]["mode"] == "inference"
    assert training.trainable_report(model).warnings == []


def test_adapting_statistics_move_where_layers_train():
    model, watch = training.attach_head(backbone(), classes=3), Watch()
    training.fine_tune(
        model,
        (X, Y),
        epochs=(1, 1),
        unfreeze=0.5,
        batch_norm="adapt",
        callbacks=[watch],
        **QUIET,
    )
    assert head_only(watch.epochs[0])
    assert {"conv_2", "norm_2"} <= watch.epochs[1]
    assert not {"conv_1", "norm_1"} & watch.epochs[1]


def test_gradual_unfreezing_goes_from_the_output_to_the_input():
    model, watch = training.attach_head(backbone(), classes=3), Watch()
    training.fine_tune(
        model, (X, Y), epochs=(1, 4), gradual=True, callbacks=[watch], **QUIET
    )
    assert head_only(watch.epochs[0])
    assert "conv_2" in watch.epochs[1]
    assert "conv_1" not in watch.epochs[1]
    assert all({"conv_1", "conv_2"} <= moved for moved in watch.epochs[2:])


def test_layer_decay_scales_the_steps_by_depth():
    model = training.attach_head(backbone(), classes=3, dropout=0.0)
    start = {v.path: values([v])[0] for v in model.weights}
    training.fine_tune(
        model,
        (X, Y),
        epochs=(0, 1),
        layer_decay=0.1,
        optimizer=keras.optimizers.SGD(),
        learning_rate=(1.0, 0.1),
        schedule="constant",
        warmup=0.0,
        verbose=0,
        batch_size=48,
        include="conv",
    )
    (transform,) = model.optimizer.transforms
    assert isinstance(transform, DepthMultipliers)
    multipliers = model.optimizer.multipliers()
    # Groups: norm_2, conv_2, norm_1, conv_1 from the output on.
    for layer, power in (("conv_2", 2), ("conv_1", 4)):
        path = next(p for p in multipliers if f"{layer}/kernel" in p)
        assert multipliers[path] == pytest.approx(0.1**power)
    head = next(p for p in multipliers if "head_output/kernel" in p)
    assert multipliers[head] == 1.0
    moved = {
        v.path: np.abs(values([v])[0] - start[v.path]).max()
        for v in model.trainable_variables
    }
    assert all(size > 0 for size in moved.values())
    config = keras.saving.serialize_keras_object(transform)
    again = keras.saving.deserialize_keras_object(config)
    assert again.by_path == transform.by_path


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_rates_rise_in_a_warm_up_and_the_second_phase_has_a_tenth(schedule):
    model, watch = training.attach_head(backbone(), classes=3), Watch()
    result = training.fine_tune(
        model,
        (X, Y),
        epochs=(4, 2),
        learning_rate=0.02,
        schedule=schedule,
        warmup=0.5,
        callbacks=[watch],
        **QUIET,
    )
    assert [row["learning_rate"] for row in result.rows] == [0.02, 0.002]
    first, second = watch.rates[:4], watch.rates[4:]
    assert first[0] == pytest.approx(0.01)
    assert first[1] == pytest.approx(0.02)
    assert first[3] == pytest.approx(0.0 if schedule == "cosine" else 0.02, abs=1e-8)
    assert second[0] == pytest.approx(0.002)


def test_rates_are_found_and_the_second_is_at_most_a_tenth():
    model = training.attach_head(backbone(), classes=3)
    result = training.fine_tune(
        model, (X, Y), epochs=(2, 1), learning_rate="find", **QUIET
    )
    first, second = (row["learning_rate"] for row in result.rows)
    assert 1e-6 < first < 1.0
    assert 0 < second <= 0.1 * first + 1e-12


def test_lora_trains_thin_matrices_and_leaves_plain_layers(tmp_path):
    model = training.attach_head(backbone(), classes=3)
    body = model.get_layer("body")
    kernel, bias = values(body.get_layer("conv_2").weights)
    names = [v.path for v in model.weights]
    result = training.fine_tune(
        model, (X, Y), epochs=(1, 2), lora=2, learning_rate=(0.01, 0.05), **QUIET
    )
    new_kernel, new_bias = values(body.get_layer("conv_2").weights)
    assert [v.path for v in model.weights] == names
    np.testing.assert_array_equal(bias, new_bias)
    change = (new_kernel - kernel).reshape(-1, 6)
    singular = np.linalg.svd(change, compute_uv=False)
    assert singular[1] > 1e-5
    assert singular[2] < 1e-5 * singular[0] + 1e-7
    # Rank 2 of kernels (3, 3, 1, 4) and (3, 3, 4, 6), and the head.
    assert result.rows[1]["trained"] == 21 + 2 * (9 * 1 + 4) + 2 * (9 * 4 + 6)
    assert not any(getattr(x, "lora_enabled", False) for x in body.layers)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(
        values([loaded(X)])[0], values([model(X)])[0], rtol=1e-5, atol=1e-6
    )
    training.unfreeze(model)
    assert len(model.trainable_variables) == 10
    model.fit(X, Y, verbose=0)


def test_merged_lora_is_the_same_function():
    from keras_strategies.training._fine_tune import lora

    keras.utils.set_random_seed(0)
    inputs = keras.Input((5,), dtype="int32")
    x = L.Embedding(7, 6, name="embedding")(inputs)
    x = L.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d", name="einsum")(x)
    x = L.MultiHeadAttention(2, 3, name="attention")(x, x)
    x = L.Conv1D(4, 2, name="conv")(x)
    model = keras.Model(inputs, L.Dense(3, name="dense")(x))
    ids = np.arange(10).reshape(2, 5) % 7
    adapted = lora.adaptable(
        [
            *(model.get_layer(n) for n in ("embedding", "einsum", "conv", "dense")),
            *model.get_layer("attention")._flatten_layers(include_self=False),
        ]
    )
    assert len(adapted) == 4 + 4
    lora.begin(model, adapted, 2, None)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        assert "lora" in variable.name
        variable.assign(rng.normal(size=variable.shape))
    before = values([model(ids)])[0]
    lora.merge(model, adapted)
    np.testing.assert_allclose(values([model(ids)])[0], before, rtol=1e-4, atol=1e-4)
    assert not any("lora" in variable.name for variable in model.variables)


def test_callbacks_see_the_whole_model_while_the_head_trains(tmp_path):
    model = training.attach_head(backbone(), classes=3)
    path = tmp_path / "best.keras"
    stop = callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=100.0)
    save = keras.callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True)
    result = training.fine_tune(
        model, (X, Y), epochs=(5, 0), callbacks=[stop, save], **QUIET
    )
    assert result.rows[0]["cached"]
    assert result.rows[0]["epochs"] < 5
    assert keras.models.load_model(path).input_shape == (None, 8, 8, 1)


def test_one_phase_and_a_compiled_model():
    body = backbone()
    model = training.attach_head(body, units=1)
    model.compile("sgd", "mae", metrics=["mse"])
    y = X.mean((1, 2))
    result = training.fine_tune(model, (X, y), epochs=(0, 1), **QUIET)
    assert model.loss == "mae"
    assert "mse" in result.history
    assert [row["phase"] for row in result.rows] == ["fine-tuning"]
    result = training.fine_tune(model, (X, y), epochs=(2, 0), **QUIET)
    assert [row["phase"] for row in result.rows] == ["head"]
    model.fit(X, y, verbose=0)  # the optimizer of the head fits the whole model


def test_a_flat_model_with_its_backbone_named_and_sample_weights():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            L.Conv2D(4, 3, name="block_1"),
            L.Conv2D(4, 3, name="block_2"),
            L.Flatten(),
            L.Dense(3, activation="softmax", name="out"),
        ]
    )
    with pytest.raises(ValueError, match="`backbone` must say which layers"):
        training.fine_tune(model, (X, Y))
    before = values(model.get_layer("block_1").weights)
    weight = np.ones(len(Y), "float32")
    training.fine_tune(
        model,
        (X, Y, weight),
        backbone="^block",
        exclude="block_1",
        epochs=(1, 1),
        class_weight=None,
        **QUIET,
    )
    for one, other in zip(
        before, values(model.get_layer("block_1").weights), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras, at its end
def test_a_dataset_of_unknown_length():
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).filter(lambda x, y: True)
    model = training.attach_head(backbone(), classes=3)
    result = training.fine_tune(
        model,
        dataset.batch(16),
        validation_data=dataset.batch(16),
        epochs=(2, 1),
        verbose=0,
    )
    assert not result.rows[0]["cached"]
    assert "the data are no arrays" in result.notes[0]
    with pytest.raises(ValueError, match="data set that ends"):
        training.fine_tune(model, dataset.batch(16).repeat())


def test_batches_of_unknown_number_are_counted_once_for_both_phases():
    passes = []

    class Batches:
        def __iter__(self):
            passes.append(self)
            return iter([(X[:16], Y[:16]), (X[16:32], Y[16:32])])

    data = checked_data("data", Batches())
    before = len(passes)
    assert [data.batches(16), data.batches(16)] == [2, 2]
    assert len(passes) == before + 1


def test_images_that_were_scaled_before_are_refused():
    inputs = keras.Input((8, 8, 3))
    names = ("block1_conv1", "block1_pool", "block5_conv1")
    x = inputs
    for name in names:  # recognized as a VGG
        x = L.Conv2D(3, 1, name=name)(x)
    body = keras.Model(inputs, x, name="vgg")
    model = training.attach_head(body, classes=3)
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0, 255, (12, 8, 8, 3)).astype("float32")
    labels = np.arange(12) % 3
    before = values(model.weights)
    for scaled in (pixels / 255, pixels / 127.5 - 1, pixels - 120):
        with pytest.raises(ValueError, match="look as if they had been scaled"):
            training.fine_tune(model, (scaled, labels), epochs=(1, 0))
    for one, other in zip(before, values(model.weights), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not model.compiled
    training.fine_tune(model, (pixels, labels), epochs=(1, 0), **QUIET)
    # And never scaled: a network put into a model by hand.
    by_hand = keras.Model(inputs, L.Dense(3, "softmax")(L.Flatten()(body(inputs))))
    with pytest.warns(UserWarning, match="preprocess_input"):
        result = training.fine_tune(by_hand, (pixels, labels), epochs=(1, 0), **QUIET)
    assert len(result.warnings) == 1
    done = keras.applications.vgg16.preprocess_input(pixels.copy())
    result = training.fine_tune(by_hand, (done, labels), epochs=(1, 0), **QUIET)
    assert result.warnings == []


def test_a_variable_that_moves_at_inference_is_reported():
    class Counter(L.Layer):
        def build(self, input_shape):
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.count.assign(self.count + 1.0)
            return x

    body = keras.Sequential([keras.Input((8, 8, 1)), Counter(), L.Conv2D(2, 3)])
    model = training.attach_head(body, classes=3)
    with pytest.raises(RuntimeError, match="count"):
        training.fine_tune(model, (X, Y), epochs=(1, 0), cache_features=False, **QUIET)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"data": (X, Y + 1)}, ValueError, r"integers in \[0, 2\]"),
        ({"data": (X, Y - 1)}, ValueError, r"integers in \[0, 2\]"),
        ({"data": (X, np.eye(4)[Y])}, ValueError, "classes=4"),
        ({"data": (X, Y.astype(str))}, ValueError, "Number the classes"),
        ({"data": (X, Y[:-1])}, ValueError, "as many targets as inputs"),
        ({"data": X}, TypeError, "`data` must be a tuple"),
        ({"data": iter([(X, Y)])}, TypeError, "more than once"),
        ({"epochs": 3}, ValueError, "`epochs` must be a pair"),
        ({"epochs": (0, 0)}, ValueError, "must have an epoch"),
        ({"unfreeze": 1.5}, ValueError, "`unfreeze` must be"),
        ({"include": "nowhere"}, ValueError, "match at least one"),
        ({"include": "norm"}, ValueError, "must have a layer of the backbone"),
        ({"include": "drop", "lora": 2}, ValueError, "must have a layer"),
        ({"layer_decay": 0.0}, ValueError, "`layer_decay` must be"),
        ({"learning_rate": "best"}, ValueError, "`learning_rate` must be one of"),
        ({"learning_rate": (1, 2, 3)}, ValueError, "`learning_rate` must be a number"),
        ({"batch_norm": "off"}, ValueError, "`batch_norm` must be one of"),
        ({"lora": 0}, ValueError, "`lora` must be"),
        ({"warmup": 1.0}, ValueError, "`warmup` must be"),
        ({"optimizer": 3}, TypeError, "`optimizer` must be"),
        ({"callbacks": [3]}, TypeError, "`callbacks` must be"),
        ({"cache_features": 2}, ValueError, "`cache_features` must be"),
    ],
)
def test_bad_arguments_leave_the_model_as_it_was(arguments, error, text):
    model = training.attach_head(backbone(), classes=3)
    arguments = {"data": (X, Y), "epochs": (1, 1), "verbose": 0, **arguments}
    with pytest.raises(error, match=text):
        training.fine_tune(model, **arguments)
    assert not model.compiled
    assert len(model.trainable_variables) == 10


def test_one_hot_labels_and_a_head_that_is_not_built():
    model = training.attach_head(backbone(), classes=3)
    training.fine_tune(model, (X, np.eye(3)[Y]), epochs=(1, 0), **QUIET)
    assert model.loss == "categorical_crossentropy"
    unbuilt = keras.Sequential([backbone(), L.Flatten(), L.Dense(3)])
    unbuilt.built = False
    with pytest.raises(ValueError, match="must be built"):
        training.fine_tune(keras.Sequential([L.Dense(3)]), (X, Y))
