"""Configs: complete, plain, and enough to rebuild an object that acts the same."""

import inspect
import json

import keras
import numpy as np
import pytest

from tests.cases import CASES, INITIALIZERS, LAYERS, REGULARIZERS, SCHEDULES, SPARSITY

SERIALIZABLE = [case for case in CASES if case.kind != "callback"]


def _arguments(cls):
    parameters = inspect.signature(cls.__init__).parameters.values()
    skipped = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    names = [p.name for p in parameters if p.kind not in skipped]
    return [name for name in names if name != "self"]


def _rebuild(thing):
    config = keras.saving.serialize_keras_object(thing)
    text = json.dumps(config)
    return keras.saving.deserialize_keras_object(json.loads(text))


@pytest.mark.parametrize("case", SERIALIZABLE, ids=lambda case: case.id)
def test_config_has_every_constructor_argument(case):
    config = case.build().get_config()
    missing = [name for name in _arguments(case.cls()) if name not in config]
    assert not missing


@pytest.mark.parametrize("case", SERIALIZABLE, ids=lambda case: case.id)
def test_config_reflects_what_was_given(case):
    config = case.build().get_config()
    plain = (bool, int, float, str)
    given = {k: v for k, v in case.make().items() if isinstance(v, plain)}
    assert {name: config[name] for name in given} == pytest.approx(given)


@pytest.mark.parametrize("case", SERIALIZABLE, ids=lambda case: case.id)
def test_serialized_object_comes_back_equal(case):
    thing = case.build()
    again = _rebuild(thing)
    assert type(again) is type(thing)
    assert again.get_config() == thing.get_config()


@pytest.mark.parametrize("case", SERIALIZABLE, ids=lambda case: case.id)
def test_registered_under_the_package_name(case):
    name = keras.saving.get_registered_name(case.cls())
    assert name == f"keras_strategies>{case.cls().__name__}"


@pytest.mark.parametrize("case", SCHEDULES + SPARSITY, ids=lambda case: case.id)
def test_rebuilt_schedule_gives_the_same_values(case):
    thing = case.build()
    again = _rebuild(thing)
    steps = sorted({step for step, _ in case.values} | {1, 7, 10_000})
    first = [keras.ops.convert_to_numpy(thing(step)) for step in steps]
    second = [keras.ops.convert_to_numpy(again(step)) for step in steps]
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("case", REGULARIZERS, ids=lambda case: case.id)
def test_rebuilt_regularizer_gives_the_same_penalty(case):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype("float32")
    thing = case.build()
    first, second = thing(kernel), _rebuild(thing)(kernel)
    assert float(first) == float(second)
    assert float(first) > 0


@pytest.mark.parametrize("case", INITIALIZERS, ids=lambda case: case.id)
def test_rebuilt_initializer_gives_the_same_kernel(case):
    thing = case.build()
    first, second = thing((3, 3, 2, 4)), _rebuild(thing)((3, 3, 2, 4), dtype="float32")
    first, second = map(keras.ops.convert_to_numpy, (first, second))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.float32 and first.any()


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.id)
def test_layer_does_not_switch_xla_off(case):
    assert case.build().supports_jit


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case.id)
def test_rebuilt_layer_gives_the_same_inference(case):
    x = np.random.default_rng(0).uniform(size=(2, *case.input_shape)).astype("float32")
    layer = case.build()
    inputs = keras.Input(case.input_shape)
    model = keras.Model(inputs, case.apply(layer, inputs))
    again = keras.Model(inputs, case.apply(_rebuild(layer), inputs))
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(again(x, training=False)),
        keras.ops.convert_to_numpy(model(x, training=False)),
        rtol=1e-6,
    )
