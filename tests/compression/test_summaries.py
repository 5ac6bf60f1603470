"""What TensorBoard is given about pruned and clustered weights."""

import numpy as np
import pytest

from keras_strategies.compression import (
    PolynomialSparsity,
    SparsitySummaries,
    cluster,
    prune,
    sparsity_report,
)
from tests.compression.common import data, kernels, mlp


def read(folder):
    """`{tag: [(step, value), ...]}` of all event files of a folder."""
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    events = event_accumulator.EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [
            (event.step, tensor_util.make_ndarray(event.tensor_proto).item())
            for event in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
    }


def test_scalars_of_every_epoch(tmp_path):
    model = mlp("adam")
    schedule = PolynomialSparsity(0.25, 0.75, 0, 15, frequency=5)
    prune(model, schedule, include="dense/")
    cluster(model, 5, include="dense_1/")
    first, second = (layer.kernel.path for layer in model.layers)
    x, y = data(64)
    model.fit(
        x,
        y,
        batch_size=8,
        epochs=3,
        verbose=0,
        callbacks=[SparsitySummaries(tmp_path / "logs")],
    )
    found = read(tmp_path / "logs")
    assert [step for step, _ in found[f"sparsity/{first}"]] == [8, 16, 24]
    report = sparsity_report(model)
    assert found[f"sparsity/{first}"][-1][1] == pytest.approx(0.75, abs=1e-3)
    assert found["sparsity/total"][-1][1] == pytest.approx(report.sparsity, abs=1e-6)
    targets = [value for _, value in found[f"target_sparsity/{first}"]]
    assert targets == pytest.approx([float(schedule(s)) for s in (8, 16, 24)])
    pruned, clustered = kernels(model)
    smallest = np.abs(pruned[pruned != 0]).min()
    assert found[f"threshold/{first}"][-1][1] == pytest.approx(smallest)
    values = found[f"cluster_values/{second}"][-1][1]
    assert values == np.unique(clustered).size <= 5
    assert f"target_sparsity/{second}" not in found


def test_plain_models_write_nothing_and_a_folder_must_be_a_path(tmp_path):
    model = mlp("adam")
    x, y = data(16)
    model.fit(x, y, verbose=0, callbacks=[SparsitySummaries(str(tmp_path))])
    assert read(tmp_path) == {}
    with pytest.raises(TypeError, match="`log_dir` must be a str or PathLike"):
        SparsitySummaries(3)
