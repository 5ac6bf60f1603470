"""On-device training: gradients, learning in the interpreter, refusals."""

import json
import os

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.export._common import named_arrays
from keras_strategies.export.trainable import (
    _gradients,
    _optimizer_update,
    _request,
    _signatures,
    _training_build,
)

L = keras.layers
SPARSE = "sparse_categorical_crossentropy"


def _images(count=128, seed=0):
    """A bright band whose place is the class; nothing else tells them apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.random((count, 12, 12, 1)) * 0.6
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 0.4
    return images.astype("float32"), labels.astype("int32")


def _features(count=128, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    values = rng.normal(size=(count, 8)) * 0.5 + 2 * np.eye(8)[labels]
    return values.astype("float32"), labels.astype("int32")


def head():
    layers = [
        keras.Input((12, 12, 1), name="x"),
        L.Conv2D(8, 3, activation="relu", trainable=False),
        L.BatchNormalization(trainable=False),
        L.MaxPooling2D(3, trainable=False),
        L.Flatten(),
        L.Dropout(0.3),
        L.Dense(3, activation="softmax", name="head"),
    ]
    return keras.Sequential(layers), _images


def mlp():
    layers = [
        keras.Input((8,), name="x"),
        L.Dense(24, activation="relu"),
        L.LayerNormalization(),
        L.Dense(16, activation="silu"),
        L.Dense(3, activation="softmax"),
    ]
    return keras.Sequential(layers), _features


def convolutional():
    layers = [
        keras.Input((12, 12, 1), name="x"),
        L.Conv2D(8, 3, padding="same"),
        L.BatchNormalization(),
        L.ReLU(),
        L.MaxPooling2D(2),
        L.DepthwiseConv2D(3, activation="tanh"),
        L.Conv2D(12, 3, strides=2, activation="relu6"),
        L.AveragePooling2D(2, 1, padding="same"),
        L.Flatten(),
        L.Dense(3, activation="softmax"),
    ]
    return keras.Sequential(layers), _images


def _runner(path):
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(str(path), num_threads=1).get_signature_runner


def _accuracy(runner, x, y):
    [outputs] = runner("infer")(x=x).values()
    return float((outputs.argmax(-1) == y).mean())


@pytest.mark.parametrize(
    ("make", "optimizer"),
    [
        (head, keras.optimizers.SGD(0.1, momentum=0.9)),
        (mlp, keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)),
        pytest.param(
            convolutional, keras.optimizers.Adam(0.01), marks=pytest.mark.slow
        ),
    ],
)
def test_learns_in_the_interpreter(make, optimizer, target):
    model, data = make()
    x, y = data()
    before = model.get_weights()
    result = export.to_trainable_tflite(
        model, target, loss=SPARSE, optimizer=optimizer, verify=(x, y)
    )
    assert result.weight_change > 1e-3  # otherwise the check would say nothing
    assert not any(op.startswith("Flex") for op in result.ops)
    assert set(result.signatures) == {"train", "infer", "save", "restore"}
    assert set(result.signatures["train"]["inputs"]) == {"x", "y"}
    assert json.loads(json.dumps(result.to_dict()))["bytes"] == os.path.getsize(target)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)

    runner = _runner(target)
    held_x, held_y = data(seed=1)
    start = _accuracy(runner, held_x, held_y)
    np.testing.assert_allclose(
        next(iter(runner("infer")(x=x).values())),
        model.predict(x, verbose=0),
        atol=1e-5,
    )
    train, losses = runner("train"), []
    for step in range(50):
        rows = slice(step % 8 * 16, step % 8 * 16 + 16)
        losses.append(float(train(x=x[rows], y=y[rows])["loss"]))
    assert np.mean(losses[-8:]) < 0.3 * np.mean(losses[:4]), losses
    trained = _accuracy(runner, held_x, held_y)
    assert trained > max(0.85, start + 0.15)

    # A new process starts where the file was written, until it restores.
    state = runner("save")()
    fresh = _runner(target)
    assert _accuracy(fresh, held_x, held_y) == start
    assert fresh("restore")(**state)["restored"] == len(state) == len(result.state)
    assert _accuracy(fresh, held_x, held_y) == trained
    # The optimizer's state came along: both go on alike.
    batch = {"x": x[:16], "y": y[:16]}
    for _ in range(2):
        assert fresh("train")(**batch) == train(**batch)


def test_frozen_weights_are_no_state(target):
    model, data = head()
    result = export.to_trainable_tflite(
        model, target, loss=SPARSE, optimizer="sgd", verify=data()
    )
    assert sorted(result.variables) == ["head_bias", "head_kernel"]
    assert sorted(result.state) == ["head_bias", "head_kernel"]
    assert any("without Dropout" in text for text in result.warnings)
    assert "head_kernel" in result.table()
    model, data = mlp()
    result = export.to_trainable_tflite(
        model, target, loss=SPARSE, include=r"dense_2/kernel$", optimizer="adam"
    )
    assert list(result.variables) == ["dense_2_kernel"]
    assert len(result.state) == 4  # with Adam's count, momentum and velocity
    assert "made-up" in result.warnings[0]


def test_selected_weights(target):
    """Layers, functions and regular expressions; `exclude` wins."""
    model, _ = mlp()
    first, _, last = (x for x in model.layers if isinstance(x, L.Dense))
    everything = _request.select_trained_weights(model, None, None)
    assert [path is None for path in everything] == [False] * len(model.weights)
    names = [weight.path.partition("/")[2] for weight in model.weights]
    chosen = _request.select_trained_weights(model, [first, "bias$"], last)
    expected = [
        (name.startswith(f"{first.name}/") or name.endswith("bias"))
        and not name.startswith(f"{last.name}/")
        for name in names
    ]
    assert [path is not None for path in chosen] == expected
    assert [path for path in chosen if path] == [
        name for name, is_chosen in zip(names, expected, strict=True) if is_chosen
    ]
    result = export.to_trainable_tflite(
        model, target, loss=SPARSE, exclude=lambda layer: layer is not last
    )
    assert list(result.variables) == [f"{last.name}_kernel", f"{last.name}_bias"]


def test_compiled_model_from_a_file_with_regularization(target, tmp_path):
    inputs = keras.Input((6,), dtype="int32", name="ids")
    hidden = L.GlobalAveragePooling1D()(L.Embedding(20, 8)(inputs))
    outputs = L.Dense(1, activation="sigmoid", kernel_regularizer="l2")(hidden)
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
    model.save(tmp_path / "model.keras")
    ids = np.random.default_rng(0).integers(0, 20, (48, 6))
    y = (ids[:, 0] > 9).astype("int32")
    result = export.to_trainable_tflite(
        tmp_path / "model.keras", target, batch_size=5, verify=(ids, y)
    )
    assert result.optimizer["kind"] == "Adam"
    assert result.optimizer["learning_rate"] == pytest.approx(0.05)
    assert result.signatures["train"]["inputs"]["y"]["shape"] == [5, 1]
    assert any("summed gradient of a row" in text for text in result.warnings)
    # Keras's own training loss has the penalty too.
    batch = {"ids": ids[:5].astype("int32"), "y": y[:5, None].astype("float32")}
    loss = float(_runner(target)("train")(**batch)["loss"])
    assert loss == pytest.approx(model.evaluate(ids[:5], y[:5], verbose=0), rel=1e-4)


def test_several_outputs_and_an_input_called_y(target):
    first, second = keras.Input((4,), name="y"), keras.Input((3,), name="z")
    hidden = L.Dense(8, activation="tanh")(L.Concatenate()([first, second]))
    outputs = {"kind": L.Dense(3, name="kind")(hidden), "value": L.Dense(1)(hidden)}
    model = keras.Model([first, second], outputs)
    losses = {
        "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "value": keras.losses.Huber(0.5),
    }
    result = export.to_trainable_tflite(model, target, loss=losses, batch_size=4)
    names = set(result.signatures["train"]["inputs"])
    assert names == {"y", "z", "y_kind", "y_value"}
    result = export.to_trainable_tflite(
        model, target, loss={"kind": losses["kind"]}, include="kind", batch_size=4
    )
    assert set(result.signatures["train"]["inputs"]) == {"y", "z", "y_target"}


def test_unnamed_inputs_exact_gelu_and_an_unrolled_loop(target):
    layers = [L.GRU(5, unroll=True), L.Dense(4, activation="gelu"), L.Dense(2)]
    model = keras.Sequential([keras.Input((3, 6)), *layers])
    # A loaded model calls its inputs otherwise.
    result = export.to_trainable_tflite(model, target, loss="mse")
    assert set(result.signatures["infer"]["inputs"]) == {"input_0"}
    assert result.weight_change > 0


def test_what_the_interpreter_cannot_run_is_refused(target):
    layers = [L.Conv2D(3, 3), L.UpSampling2D(2), L.Flatten(), L.Dense(2)]
    model = keras.Sequential([keras.Input((6, 6, 1)), *layers])
    with pytest.raises(export.ExportError, match="cannot run") as caught:
        export.to_trainable_tflite(model, target, loss="mse")
    assert caught.value.reason == "run" and not target.exists()


def test_what_has_no_gradient_is_named(target):
    target.write_bytes(b"kept")
    model = keras.Sequential([keras.Input((5, 3), batch_size=4), L.LSTM(4), L.Dense(2)])
    with pytest.raises(export.ExportError, match="freeze the layers") as caught:
        export.to_trainable_tflite(model, target, loss="mse", batch_size=4)
    assert caught.value.reason == "flex" and caught.value.details["ops"]
    assert target.read_bytes() == b"kept"
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"loss": None}, ValueError, "`loss` is needed"),
        ({"loss": "no_loss"}, ValueError, "no_loss"),
        ({"loss": lambda y, p: p}, TypeError, "must be a Keras loss"),
        ({"loss": {"other": "mse"}}, ValueError, "keys among the outputs"),
        ({"loss": ["mse", "mse"]}, ValueError, "one loss for each"),
        ({"optimizer": "rmsprop"}, ValueError, "must be SGD or Adam.*'RMSprop'"),
        ({"optimizer": "adamw"}, ValueError, "must be SGD or Adam.*'AdamW'"),
        (
            {"optimizer": keras.optimizers.Adam(amsgrad=True)},
            ValueError,
            "not use `amsgrad`",
        ),
        (
            {"optimizer": keras.optimizers.SGD(clipnorm=1.0)},
            ValueError,
            "not use `clipnorm`",
        ),
        (
            {
                "optimizer": keras.optimizers.SGD(
                    keras.optimizers.schedules.CosineDecay(0.1, 9)
                )
            },
            ValueError,
            "fixed learning rate",
        ),
        ({"batch_size": 0}, ValueError, "`batch_size` must be"),
        ({"include": "nothing"}, ValueError, "`include` must match at least one train"),
        ({"include": "("}, ValueError, "regular expression"),
        ({"verify": np.ones((2, 4))}, TypeError, "pair of inputs and targets"),
        (
            {"verify": (np.ones((2, 4)), np.ones((3, 2)))},
            ValueError,
            r"must have shape \(2, 2\)",
        ),
        ({"time_limit": 0}, ValueError, "`time_limit` must be"),
    ],
)
def test_refused(options, error, match, target):
    model = keras.Sequential([keras.Input((4,), name="x"), L.Dense(2)])
    with pytest.raises(error, match=match):
        export.to_trainable_tflite(model, target, **{"loss": "mse"} | options)
    assert os.listdir(target.parent) == []


def test_all_frozen_and_free_shapes_are_refused(target):
    model = keras.Sequential([keras.Input((4,)), L.Dense(2, trainable=False)])
    with pytest.raises(ValueError, match="layer.trainable = True"):
        export.to_trainable_tflite(model, target, loss="mse")
    model = keras.Sequential([keras.Input((None, 4)), L.Dense(2)])
    with pytest.raises(ValueError, match="known shape for on-device"):
        export.to_trainable_tflite(model, target, loss="mse")


def _build(folder, model, data, optimizer=None):
    """What the worker does, here, so that parts of it can be broken."""
    x, y = data
    model.save(folder / "model.keras")
    outputs = {model.layers[-1].name: model.predict(x, verbose=0)}
    losses = _request.serialized_losses(model, SPARSE, outputs)
    named_arrays.save(folder / "samples.npz", {"x": x})
    named_arrays.save(folder / "targets.npz", {"y": y})
    return _training_build.build(
        str(folder / "model.keras"),
        [],
        str(folder),
        trained=_request.select_trained_weights(model, None, None),
        inputs=["x"],
        losses=losses,
        targets=_request.target_specs(losses, outputs, {"x": x}),
        optimizer=_optimizer_update.optimizer_settings(
            optimizer or keras.optimizers.SGD(1e-3)
        ),
        batch_size=16,
    )


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "broken",
    [
        None,
        "still",
        *(
            pytest.param(b, marks=pytest.mark.slow)
            for b in ("rate", "infer", "restore")
        ),
    ],
)
def test_the_check_finds_a_wrong_artifact(broken, tmp_path, monkeypatch):
    """Small steps: differences far below the weights themselves must be seen."""
    model, data = mlp()
    x, y = data()
    if broken is None:
        assert 0 < _build(tmp_path, model, (x, y))["weight_change"] < 1e-2
        return
    update, trainer = _optimizer_update.Update, _signatures.Trainer
    kept = update._apply_sgd, trainer._restore, trainer._infer
    if broken == "still":
        monkeypatch.setattr(update, "_apply_sgd", lambda self, gradients: None)
    elif broken == "rate":

        def slower(self, gradients):
            kept[0](self, {name: g * 0.99 for name, g in gradients.items()})

        monkeypatch.setattr(update, "_apply_sgd", slower)
    elif broken == "infer":

        def shifted(self, *tensors):
            found = kept[2](self, *tensors)
            return {name: value + 1e-3 for name, value in found.items()}

        monkeypatch.setattr(trainer, "_infer", shifted)
    else:

        def forgets(self, *values):
            return kept[1](self, *[value * 0 for value in values])

        monkeypatch.setattr(trainer, "_restore", forgets)
    with pytest.raises(_training_build.Disagreement):
        _build(tmp_path, model, (x, y))


def _cases():
    import tensorflow as tf

    image, rng = (3, 11, 9, 4), np.random.default_rng(0)

    def normal(*shape):
        return rng.normal(size=shape).astype("float32")

    for padding in ("SAME", "VALID"):
        for stride, dilation in ((1, 1), (2, 1), (3, 1), (1, 2)):
            settings = {"padding": padding, "dilations": dilation}
            yield (
                lambda x, w, s=stride, o=settings: tf.nn.conv2d(x, w, s, **o),
                normal(*image),
                normal(3, 2, 4, 5),
            )
            yield (
                lambda x, w, s=stride, p=padding, d=dilation: tf.nn.depthwise_conv2d(
                    x, w, [1, s, s, 1], p, dilations=(d, d)
                ),
                normal(*image),
                normal(3, 3, 4, 1),
            )
        for stride in (1, 2):
            shape = (3, 8 * stride, 9 * stride, 5)
            if padding == "VALID":
                shape = (3, 7 * stride + 3, 8 * stride + 2, 5)
            yield (
                lambda x, w, o=shape, s=stride, p=padding: tf.nn.conv2d_transpose(
                    x, w, o, s, p
                ),
                normal(3, 8, 9, 4),
                normal(3, 2, 5, 4),
            )
        for stride, size in ((1, 2), (2, 2), (2, 3), (3, 2)):
            for pool in (tf.nn.max_pool2d, tf.nn.avg_pool2d):
                yield (
                    lambda x, w, k=size, s=stride, p=padding, f=pool: f(x * w, k, s, p),
                    np.round(normal(*image)),  # many ties
                    np.ones(4, "float32"),
                )
    names = "relu relu6 leaky_relu elu selu sigmoid tanh softplus softmax silu"
    for name in names.split(" "):
        function = getattr(tf.nn, name)
        yield lambda x, w, f=function: f(x) * w, normal(5, 7) * 3, normal(7)
    yield lambda x, w: tf.nn.bias_add(tf.sqrt(x * x + 1), w), normal(5, 7), normal(7)
    for cut in (np.s_[1:4, 2], np.s_[:, -3:-1], np.s_[-1], np.s_[2:99]):
        yield lambda x, w, c=cut: tf.multiply(x, w)[c], normal(5, 7), normal(7)
    yield lambda x, w: tf.math.rsqrt(x * x + 1) * w, normal(5, 7), normal(7)


@pytest.mark.tensorflow
@pytest.mark.slow
def test_gradients_are_tensorflows():
    import tensorflow as tf

    count = 0
    for function, x, w in _cases():
        weights = np.cos(np.arange(function(x, w).numpy().size)).astype("float32")

        def loss(a, b, function=function, weights=weights):
            values = function(a, b)
            return tf.reduce_sum(values * tf.reshape(weights, values.shape))

        def ours(a, b, loss=loss):
            with _gradients.builtin_gradients():
                value = loss(a, b)
            return tf.gradients(value, [a, b])

        a, b = tf.constant(x), tf.constant(w)
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            value = loss(a, b)
        expected = tape.gradient(value, [a, b])
        compiled = tf.function(ours, autograph=False)
        found = compiled(a, b)
        kinds = {
            op.type
            for op in compiled.get_concrete_function(a, b).graph.get_operations()
        }
        assert not any("Backprop" in k and "2DBackpropInput" not in k for k in kinds)
        assert not {k for k in kinds if k.endswith("Grad")}, kinds
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)
        count += 1
    assert count == 52
