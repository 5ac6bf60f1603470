"""Predictions of a predictor are those of `model.predict`, whatever comes."""

import gc
import threading
import tracemalloc

import keras
import numpy as np
import pytest

from keras_strategies import training

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)


def _mlp():
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(3),
        ]
    )


def _rows(count, width=6):
    return RNG.normal(size=(count, width)).astype("float32")


def _plain(model, x):
    return model.predict(x, verbose=0)


def test_any_number_of_rows_needs_few_programs():
    model = _mlp()
    predict = training.predictor(model, batch_size=16)
    for rows in (1, 2, 3, 5, 9, 15, 16, 17, 40):
        x = _rows(rows)
        np.testing.assert_allclose(predict(x), _plain(model, x), atol=1e-5)
    assert set(predict.programs) == {((rows, 6),) for rows in (1, 2, 4, 8, 16)}
    assert predict(_rows(0)).shape == (0, 3)


def test_it_follows_every_change_of_the_weights():
    model = _mlp()
    model.compile("sgd", "mse")
    predict = training.predictor(model)
    x = _rows(3)
    before = predict(x)

    def add_lora(layer):
        layer.enable_lora(2)
        layer.lora_kernel_b.assign(np.ones((2, 8)))

    def quantize(layer):
        layer.quantize("int8")

    changes = [
        lambda: model.fit(_rows(32), _rows(32, 3), verbose=0),
        lambda: model.set_weights([w + 0.1 for w in model.get_weights()]),
        lambda: model.layers[0].kernel.assign(np.ones((6, 8))),
        lambda: add_lora(model.layers[0]),
        lambda: quantize(model.layers[0]),
    ]
    for change in changes:
        change()
        after = predict(x)
        # `model.predict` keeps its traced function after `enable_lora`.
        direct = keras.ops.convert_to_numpy(model(x, training=False))
        np.testing.assert_allclose(after, direct, rtol=1e-4, atol=1e-5)
        assert np.abs(after - before).max() > 1e-5
        before = after


def test_in_a_callback_it_sees_the_weights_of_the_step():
    model, x = _mlp(), _rows(4)
    model.compile("sgd", "mse")
    predict, seen = training.predictor(model), []

    class Ask(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((predict(x), model.predict_on_batch(x)))

    model.fit(_rows(96), _rows(96, 3), callbacks=[Ask()], verbose=0)
    assert len(seen) == 3
    for ours, plain in seen:
        np.testing.assert_allclose(ours, plain, atol=1e-5)
    assert np.abs(seen[0][0] - seen[2][0]).max() > 1e-5


def test_structures_and_integer_inputs():
    words, table = (
        keras.Input((4,), dtype="int32", name="words"),
        keras.Input((2,), name="table"),
    )
    hidden = keras.layers.Flatten()(keras.layers.Embedding(10, 3)(words))
    hidden = keras.layers.Concatenate()([hidden, table])
    outputs = {"a": keras.layers.Dense(2)(hidden), "b": keras.layers.Dense(1)(hidden)}
    model = keras.Model({"words": words, "table": table}, outputs)
    x = {"words": RNG.integers(0, 10, (5, 4)), "table": _rows(5, 2)}
    predicted, plain = training.predictor(model)(x), _plain(model, x)
    assert set(predicted) == {"a", "b"}
    for name in plain:
        np.testing.assert_allclose(predicted[name], plain[name], atol=1e-5)
    with pytest.raises(ValueError, match="same length"):
        training.predictor(model)({"words": x["words"][:2], "table": x["table"]})


def test_a_custom_predict_step_and_an_unbuilt_model():
    @keras.saving.register_keras_serializable("test_predictor")
    class Doubled(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

        def predict_step(self, *args):
            outputs = super().predict_step(*args)
            if BACKEND == "jax":
                return 2 * outputs[0], outputs[1]
            return 2 * outputs

    model, x = Doubled(), _rows(3)
    predicted = training.predictor(model)(x)
    np.testing.assert_allclose(predicted, _plain(model, x), atol=1e-5)
    np.testing.assert_allclose(
        predicted, 2 * keras.ops.convert_to_numpy(model(x)), atol=1e-5
    )


def test_state_moves_once_a_call():
    def build():
        keras.utils.set_random_seed(3)
        return keras.Sequential(
            [keras.Input(batch_shape=(2, 3, 4)), keras.layers.LSTM(5, stateful=True)]
        )

    first, second = build(), build()
    predict = training.predictor(first)
    for _ in range(4):
        x = RNG.normal(size=(2, 3, 4)).astype("float32")
        np.testing.assert_allclose(predict(x), second.predict_on_batch(x), atol=1e-5)


def test_the_state_that_the_first_call_makes_moves_once_a_call():
    def build():
        keras.utils.set_random_seed(3)
        return keras.Sequential([keras.layers.LSTM(5, stateful=True)])

    first, second = build(), build()
    second.build((2, 3, 4))  # On JAX Keras cannot make the state in `predict`.
    predict = training.predictor(first)
    for _ in range(4):
        x = RNG.normal(size=(2, 3, 4)).astype("float32")
        np.testing.assert_allclose(predict(x), second.predict_on_batch(x), atol=1e-5)


def test_a_model_that_is_not_built_is_not_taken_for_one_with_state():
    # The seed of Dropout is there before the weights, and behind them afterwards.
    model = keras.Sequential([keras.layers.Dense(2), keras.layers.Dropout(0.5)])
    predict, x = training.predictor(model), _rows(3)
    np.testing.assert_allclose(predict(x), _plain(model, x), atol=1e-5)
    assert set(predict.programs) == {((4, 6),)}


def test_random_layers_draw_afresh():
    class AlwaysNoise(keras.layers.GaussianNoise):
        def call(self, inputs, training=False):
            return super().call(inputs, training=True)

    model = keras.Sequential([keras.Input((6,)), AlwaysNoise(1.0)])
    predict, x = training.predictor(model), _rows(3)
    draws = [predict(x) for _ in range(4)]
    for index, draw in enumerate(draws[1:]):
        assert np.abs(draw - draws[index]).max() > 1e-2


def test_rows_that_depend_on_each_other_get_no_padding():
    inputs = keras.Input((6,))
    outputs = inputs - keras.ops.mean(inputs, axis=0, keepdims=True)
    model = keras.Model(inputs, outputs)
    predict = training.predictor(model)
    x = _rows(4)
    np.testing.assert_allclose(predict(x), _plain(model, x), atol=1e-5)
    x = _rows(3)
    with pytest.warns(UserWarning, match="depend on the other rows"):
        predicted = predict(x)
    np.testing.assert_allclose(predicted, _plain(model, x), atol=1e-5)
    x = _rows(5)
    np.testing.assert_allclose(predict(x), _plain(model, x), atol=1e-5)


def test_a_branch_on_values_is_taken_anew():
    class Signed(keras.layers.Layer):
        def call(self, x):
            if BACKEND == "torch":
                return x if bool(keras.ops.all(x > 0)) else -x
            return keras.ops.where(keras.ops.all(x > 0), x, -x)

    model = keras.Sequential([keras.Input((2,)), Signed()])
    predict = training.predictor(model)
    for sign in (1, -1, 1):
        x = np.full((1, 2), sign, "float32")
        np.testing.assert_array_equal(predict(x), [[1, 1]])


def test_threads_get_their_own_answers():
    model = _mlp()
    predict = training.predictor(model)
    inputs = [_rows(rows) for rows in range(1, 9)]
    expected = [_plain(model, x) for x in inputs]
    wrong = []

    def ask(offset):
        for step in range(20):
            index = (offset + step) % len(inputs)
            if np.abs(predict(inputs[index]) - expected[index]).max() > 1e-5:
                wrong.append(index)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_memory_does_not_grow_with_calls_or_lengths():
    model = keras.Sequential(
        [keras.Input((None, 2)), keras.layers.GlobalAveragePooling1D()]
    )
    predict = training.predictor(model)
    for length in range(1, 36):
        predict(np.ones((1, length, 2), "float32"))
    assert len(predict.programs) == 32
    x = np.ones((1, 35, 2), "float32")
    tracemalloc.start()
    try:
        sizes = []
        for _ in range(4):
            for _ in range(100):
                predict(x)
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
        # Threads of other tests may allocate in one round; what leaks grows in each.
        assert min(np.diff(sizes)[1:]) < 10_000
    finally:
        tracemalloc.stop()


def test_outputs_are_the_callers_own():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    predict = training.predictor(model)
    x = np.zeros((1, 2), "float32")
    for _ in range(3):
        first = predict(x)
        first += 1
        np.testing.assert_array_equal(x, 0)
    np.testing.assert_array_equal(predict(x), 0)


@pytest.mark.tensorflow
def test_strings_run_as_a_graph():
    layer = keras.layers.TextVectorization(vocabulary=["a", "b"], output_mode="count")
    model = keras.Sequential([keras.Input((1,), dtype="string"), layer])
    predict = training.predictor(model)
    x = np.array([["a b"], ["b b"], ["a"]], dtype=object)
    np.testing.assert_array_equal(predict(x), [[0, 1, 1], [0, 0, 2], [0, 1, 0]])
    assert set(predict.programs.values()) == {"graph"}


def test_an_index_out_of_range_is_noticed_as_by_predict():
    layers = [keras.Input((3,), dtype="int32"), keras.layers.Embedding(5, 2)]
    model = keras.Sequential([*layers, keras.layers.Flatten()])
    predict, x = training.predictor(model), np.ones((4, 3), "int32")
    predict(x)
    x[1, 1] = 7
    if BACKEND == "jax":  # where `predict` gives NaN as well
        assert np.isnan(predict(x)).any()
        return
    with pytest.raises(Exception, match="out of range|indices"):
        predict(x)


@pytest.mark.tensorflow
def test_checks_of_a_layer_are_kept():
    import tensorflow as tf

    class Checked(keras.layers.Layer):
        def call(self, x):
            with tf.control_dependencies([tf.debugging.assert_less(x, 10.0)]):
                return tf.identity(x)

    predict = training.predictor(keras.Sequential([keras.Input((6,)), Checked()]))
    predict(_rows(4))
    with pytest.raises(tf.errors.InvalidArgumentError):
        predict(_rows(4) + 20)


@pytest.mark.parametrize("read", ["int", "item", "tolist", "numpy", "len"])
def test_values_that_python_reads_are_not_those_of_the_first_call(read):
    if BACKEND != "torch":
        pytest.skip("Python cannot read values in a program")
    reads = {
        "int": lambda x: int((x > 0).sum()),
        "item": lambda x: x.sum().item(),
        "tolist": lambda x: sum(x.sum(1).tolist()),
        "numpy": lambda x: float(x.sum().numpy()),
        "len": lambda x: len((x > 0).nonzero()),
    }

    class Reading(keras.layers.Layer):
        def call(self, x):
            return x * reads[read](x)

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape, x.dtype)

    model = keras.Sequential([keras.Input((6,)), Reading()])
    predict = training.predictor(model)
    for x in (_rows(4), np.abs(_rows(4)), -np.abs(_rows(4))):
        np.testing.assert_allclose(predict(x), _plain(model, x), rtol=1e-4, atol=1e-4)


def test_state_that_the_first_call_leaves_as_it_is():
    class Positives(keras.layers.Layer):
        def build(self, shape):
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x):
            self.count.assign_add(keras.ops.sum(keras.ops.cast(x > 0, "float32")))
            return x + self.count

    first, second = (keras.Sequential([keras.Input((6,)), Positives()]) for _ in "ab")
    predict = training.predictor(first)
    for sign in (-1, -1, 1, 1):
        x = sign * np.abs(_rows(3))
        np.testing.assert_allclose(predict(x), second.predict_on_batch(x), atol=1e-5)


def test_dropout_of_inference_is_drawn_afresh():
    class Always(keras.layers.Dropout):
        def call(self, inputs, training=None):
            return super().call(inputs, training=True)

    predict = training.predictor(keras.Sequential([keras.Input((60,)), Always(0.5)]))
    x = np.ones((3, 60), "float32")
    assert len({predict(x).tobytes() for _ in range(3)}) == 3


def test_outputs_without_rows():
    class Prototypes(keras.layers.Layer):
        def build(self, shape):
            self.rows = self.add_weight(shape=(7, 6))

        def call(self, x):
            rows = keras.ops.convert_to_tensor(self.rows)
            gram = keras.ops.matmul(x, keras.ops.transpose(rows))
            return gram, rows, keras.ops.sum(rows)

    inputs = keras.Input((6,))
    model = keras.Model(inputs, Prototypes()(inputs))
    predict = training.predictor(model, batch_size=8)
    for rows in (4, 4, 3, 3, 7, 7, 5):
        x = _rows(rows)
        direct = map(keras.ops.convert_to_numpy, model(x))
        for ours, plain in zip(predict(x), direct, strict=True):
            np.testing.assert_allclose(ours, plain, atol=1e-5)
    with pytest.raises(ValueError, match="without rows"):
        predict(_rows(9))


def test_compile_and_an_added_layer_are_seen():
    model = _mlp()
    model.compile("sgd", "mse")
    predict, x = training.predictor(model), _rows(4)
    predict(x)
    predict(x)
    model.layers[0].activation = keras.activations.tanh
    model.compile("sgd", "mse")
    np.testing.assert_allclose(predict(x), _plain(model, x), atol=1e-5)
    model.add(keras.layers.Activation("relu"))
    assert predict(x).min() == 0


@pytest.mark.tensorflow
def test_no_rows_of_strings_and_ragged_inputs():
    import tensorflow as tf

    layer = keras.layers.TextVectorization(vocabulary=["a", "b"], output_mode="count")
    model = keras.Sequential([keras.Input((1,), dtype="string"), layer])
    assert training.predictor(model)(np.zeros((0, 1), object)).shape == (0, 3)
    with pytest.raises(TypeError, match="to_tensor"):
        training.predictor(_mlp())(tf.ragged.constant([[1.0], [2.0, 3.0]]))


def test_bad_arguments():
    with pytest.raises(TypeError, match="model"):
        training.predictor("model")
    with pytest.raises(ValueError, match="batch_size"):
        training.predictor(_mlp(), batch_size=0)
    with pytest.raises(ValueError):
        training.predictor(_mlp())(np.zeros((1, 5), "float32"))
