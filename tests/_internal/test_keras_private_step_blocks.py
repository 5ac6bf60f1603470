"""Keras internals that blocks of training steps use."""

import keras
import numpy as np
import pytest

from keras_strategies._internal.keras_private import step_blocks

BACKEND = keras.backend.backend()


def _model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


@pytest.mark.skipif(BACKEND == "torch", reason="Torch has no blocks")
def test_loops_pass_on_what_the_adapter_iterates_over():
    model, seen = _model(), []
    step_blocks.build_for(model, (np.ones((4, 3)), np.ones((4, 2))))

    def step(*given):
        item = next(given[-1])
        seen.append(int(item[0]))
        logs = {"loss": 0.0}
        return logs if BACKEND == "tensorflow" else (logs, given[0])

    model.train_function = step
    items = [np.array([number]) for number in range(3)]
    model.fit(step_blocks.BlockAdapter(items, 4, 3), epochs=2, verbose=0)
    assert seen == [0, 1, 2, 0, 1, 2]


def test_arrays_are_packed_as_fit_packs_them():
    x, y = np.ones((5, 3)), np.array([0, 1, 1, 0, 2])
    arrays, rows, size = step_blocks.packed_arrays(x, y, None, 2, {1: 3.0})
    assert (rows, size) == (5, 2)
    assert arrays[0].dtype == "float32"
    np.testing.assert_array_equal(arrays[2], [1, 3, 3, 1, 1])
    with pytest.raises(ValueError, match="cardinality"):
        step_blocks.packed_arrays(x, y[:4], None, 2, None)
    (train, _, _), held = step_blocks.split_validation(x, y, None, 0.4)
    assert len(train) == 3 and len(held[0]) == 2
    assert step_blocks.are_arrays(x, None) and not step_blocks.are_arrays(iter([x]))


def test_building_makes_optimizer_and_metrics():
    model = _model()
    step_blocks.build_for(model, (np.ones((4, 3)), np.ones((4, 2))))
    assert model.optimizer.built and len(model.metrics_variables) == 4


def test_a_step_is_checked_without_computing():
    model = _model()
    before = model.get_weights()
    step_blocks.check_step(model, (np.ones((4, 3)), np.ones((4, 2))))
    with pytest.raises(ValueError, match="incompatible"):
        step_blocks.check_step(model, (np.ones((4, 5)), np.ones((4, 2))))
    two = {"a": np.ones((4, 2)), "b": np.ones((4, 2))}
    fresh = _model()
    with pytest.raises((ValueError, KeyError)):
        step_blocks.check_step(fresh, (np.ones((4, 3)), two))
    step_blocks.check_step(fresh, (np.ones((4, 3)), np.ones((4, 2))))
    for value, wanted in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, wanted)


def test_own_steps_are_told_apart():
    class Own(keras.Sequential):
        def train_step(self, *args):
            return super().train_step(*args)

    model = _model()
    assert step_blocks.has_stock_step(model, "train_step")
    assert not step_blocks.has_stock_step(Own(), "train_step")
    assert step_blocks.has_stock_step(Own(), "test_step")
    model.__dict__["train_step"] = model.train_step
    assert not step_blocks.has_stock_step(model, "train_step")
    assert not step_blocks.is_distributed(model)


def test_auto_is_resolved_as_compile_resolves_it():
    model = _model()
    assert step_blocks.auto_jit_compile(model) == model.jit_compile


def test_settings_are_put_back_after_an_error():
    model = _model()
    with (
        pytest.raises(RuntimeError),
        step_blocks.training_settings(model, jit_compile=False, train_function=len),
    ):
        assert model.train_function is len
        raise RuntimeError
    assert model.train_function is None


def test_the_unseeded_generator_is_put_back():
    before = step_blocks.global_seed_state()
    first = keras.random.uniform((3,))
    step_blocks.set_global_seed_state(before)
    again = step_blocks.global_seed_state()
    keras.utils.set_random_seed(1234)
    step_blocks.set_global_seed_state(again)
    held = step_blocks.global_seed_state()
    second = keras.random.uniform((3,))
    step_blocks.set_global_seed_state(held)
    third = keras.random.uniform((3,))
    assert first.shape == (3,)
    if held is not None:
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(second), keras.ops.convert_to_numpy(third)
        )


class _Batches(keras.utils.PyDataset):
    num_batches = 2

    def __getitem__(self, index):
        return [np.full((4 - index, 3), index, "float32"), np.array([0] * (4 - index))]


def test_datasets_are_read_as_fit_reads_them():
    x = _Batches()
    assert step_blocks.is_dataset(x) and not step_blocks.is_dataset(np.ones(3))
    adapter = step_blocks.batch_adapter(x, class_weight={0: 2.0}, shuffle=True)
    assert adapter.num_batches == 2 and adapter.shuffle
    images, labels, weights = step_blocks.first_batch(adapter)
    assert images.shape == (4, 3) and labels.shape == (4,)
    np.testing.assert_array_equal(weights, [2, 2, 2, 2])
    (images, *_), varies = step_blocks.batch_specification(adapter)
    assert images.shape == (4, 3) and images.dtype == "float32" and varies


@pytest.mark.tensorflow
def test_nothing_is_taken_from_a_dataset_to_describe_it():
    import tensorflow as tf

    def rows():
        raise AssertionError("read")
        yield

    signature = tf.TensorSpec((None, 3), tf.float16)
    dataset = tf.data.Dataset.from_generator(rows, output_signature=signature)
    assert step_blocks.is_dataset(dataset)
    adapter = step_blocks.batch_adapter(dataset, shuffle=True)
    found, varies = step_blocks.batch_specification(adapter)
    assert found.shape == (None, 3) and found.dtype == "float16" and varies
    dense = tf.data.Dataset.from_tensor_slices(np.ones((4, 3))).batch(2, True)
    assert not step_blocks.batch_specification(step_blocks.batch_adapter(dense))[1]
    sparse = tf.data.Dataset.from_tensors(tf.sparse.from_dense([[1.0]]))
    assert step_blocks.batch_specification(step_blocks.batch_adapter(sparse))[0] is None


@pytest.mark.skipif(BACKEND == "torch", reason="Torch has no blocks")
@pytest.mark.parametrize("shuffle", [True, "batch"])
def test_orders_of_fit_are_permutations_that_a_seed_repeats(shuffle):
    def orders():
        keras.utils.set_random_seed(1)
        made = step_blocks.row_orders_of_fit(10, 4, shuffle)
        return [next(made) for _ in range(2)]

    first = orders()
    for order, again in zip(first, orders(), strict=True):
        np.testing.assert_array_equal(order, again)
        np.testing.assert_array_equal(np.sort(order), np.arange(10))
        within = (order // 4 == np.arange(10) // 4).all()
        assert within == (shuffle == "batch")


def test_whether_python_runs_each_step():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    for is_eager in (False, True):
        model.compile("sgd", "mse", run_eagerly=is_eager)
        assert step_blocks.runs_eagerly(model) == is_eager
    model.compile("sgd", "mse", jit_compile=False)
    is_jax = keras.backend.backend() == "jax"
    assert step_blocks.runs_eagerly(model) == is_jax
