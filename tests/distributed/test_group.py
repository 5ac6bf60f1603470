"""Groups that another launcher has started."""

import json

import keras
import pytest

from keras_strategies.training.distributed._group import current_group


def _configured(kind, index, **cluster):
    task = {"type": kind, "index": index}
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TF_CONFIG is TensorFlow's"
)
def test_workers_of_another_launcher_are_a_group():
    workers = {"worker": ["a:1", "b:1"]}
    second = current_group(_configured("worker", 1, **workers))
    assert (second.rank, second.size, second.is_chief) == (1, 2, False)
    first = current_group(_configured("worker", 0, **workers))
    assert first.is_chief
    assert first.seed == second.seed
    with_chief = {"chief": ["c:1"], **workers}
    assert current_group(_configured("chief", 0, **with_chief)).rank == 0
    assert current_group(_configured("worker", 1, **with_chief)).rank == 2
    assert current_group(_configured("evaluator", 0, **with_chief)) is None
    assert current_group(_configured("worker", 0, worker=["a:1"])) is None
    assert current_group({"TF_CONFIG": ""}) is None


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="is about the others"
)
def test_other_backends_do_not_read_tf_config():
    assert current_group(_configured("worker", 1, worker=["a:1", "b:1"])) is None
