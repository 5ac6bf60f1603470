"""Schedules of both sorts against their closed form."""

import keras
import numpy as np
import pytest

from tests.cases import SCHEDULES, SPARSITY

WITH_VALUES = SCHEDULES + SPARSITY


@pytest.mark.parametrize("case", WITH_VALUES, ids=lambda case: case.id)
def test_closed_form(case):
    assert len(case.values) >= 4, "give 0, the boundaries and a step past the end"
    assert case.values[0][0] == 0
    schedule = case.build()
    got = [float(schedule(step)) for step, _ in case.values]
    np.testing.assert_allclose(got, [v for _, v in case.values], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("case", WITH_VALUES, ids=lambda case: case.id)
def test_any_kind_of_step(case):
    schedule = case.build()
    step, expected = case.values[-1]
    for dtype in ("int32", "int64", "float32"):
        if keras.backend.backend() == "jax" and dtype == "int64":
            continue  # JAX has no 64-bit integers unless they are switched on
        value = schedule(keras.ops.convert_to_tensor(step, dtype=dtype))
        assert float(value) == pytest.approx(expected, rel=1e-5, abs=1e-8)
