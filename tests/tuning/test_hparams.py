"""What TensorBoard's own HParams dashboard reads of a search."""

import gc

import keras
import numpy as np
import pytest

from keras_strategies import tuning
from keras_strategies.tuning import _space
from tests.tuning import numbers


def dashboard(folder):
    """The experiment and the session groups by trial, as the dashboard has them."""
    from tensorboard.backend.event_processing import (
        data_provider,
        plugin_event_multiplexer,
    )
    from tensorboard.context import RequestContext
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import (
        api_pb2,
        backend_context,
        get_experiment,
        list_session_groups,
    )

    events = plugin_event_multiplexer.EventMultiplexer()
    events.AddRunsFromDirectory(str(folder))
    events.Reload()
    provider = data_provider.MultiplexerDataProvider(events, str(folder))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    found = get_experiment.Handler(
        RequestContext(), context, "", api_pb2.GetExperimentRequest()
    ).run()
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0,
        slice_size=1000,
        allowed_statuses=[*api_pb2.Status.values()],
        col_params=[
            *(api_pb2.ColParams(hparam=info.name) for info in found.hparam_infos),
            *(api_pb2.ColParams(metric=info.name) for info in found.metric_infos),
        ],
    )
    groups = list_session_groups.Handler(RequestContext(), context, "", request).run()
    return found, {group.name: group for group in groups.session_groups}


def values(group):
    kinds = ("number_value", "string_value", "bool_value")
    return {
        name: next(getattr(value, kind) for kind in kinds if value.HasField(kind))
        for name, value in group.hparams.items()
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    gc.freeze()
    return numbers.search(tmp_path_factory.mktemp("found"), pruner="median")


def test_dashboard_shows_each_trial(found, tmp_path):
    for _ in range(2):  # the second time it replaces
        tuning.log_hparams(found, tmp_path / "logs")
    experiment, groups = dashboard(tmp_path / "logs")
    infos = {info.name: info for info in experiment.hparam_infos}
    assert set(infos) == {hp.name for hp in numbers.space().space}
    interval = infos["x"].domain_interval
    assert (interval.min_value, interval.max_value) == (-4, 4)
    assert list(infos["optimizer"].domain_discrete) == ["adam", "sgd"]
    names = [info.name.tag for info in experiment.metric_infos]
    assert names == ["val_loss", "size"]
    rows = found.results()
    assert set(groups) == {row["trial"] for row in rows}
    for row in rows:
        group = groups[row["trial"]]
        expected = {k[6:]: v for k, v in row.items() if k.startswith("value/")}
        assert values(group) == expected
        (session,) = group.sessions
        failed = row["status"] == "FAILED"
        assert session.status == (2 if failed else 1)
        took = session.end_time_secs - session.start_time_secs
        assert took == pytest.approx(row["seconds"], abs=1e-3)
        metrics = {m.name.tag: m.value for m in group.metric_values}
        if failed:
            assert not metrics
        else:
            assert metrics["val_loss"] == pytest.approx(row["score"], rel=1e-6)
            assert metrics["size"] == pytest.approx(row["metric/size"], rel=1e-6)
    curves = [path.read_bytes() for path in tmp_path.rglob("*tfevents*")]
    assert any(b"epoch/val_loss" in content for content in curves)


def test_values_that_tensorboard_cannot_hold_are_text(tmp_path):
    class Sizes(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            return float(len(trial.hyperparameters.get("sizes") or ()))

    hp = _space.Space()
    hp.Choice("sizes", [None, (3,)])
    made = Sizes(hyperparameters=hp, algorithm="grid", directory=tmp_path)
    made.search(verbose=0)
    tuning.log_hparams(made, tmp_path / "logs")
    _, groups = dashboard(tmp_path / "logs")
    assert {values(group)["sizes"] for group in groups.values()} == {"None", "(3,)"}


def test_stock_tuner(tmp_path):
    made = numbers.search(tmp_path / "a", cls=numbers.Stock, max_trials=3)
    tuning.log_hparams(made, tmp_path / "logs")
    _, groups = dashboard(tmp_path / "logs")
    assert set(groups) == set(made.oracle.trials)


def test_callback_of_a_search_logs_each_trial_apart(tmp_path):
    x = np.linspace(-1, 1, 16, dtype="float32").reshape(16, 1)

    def build(hp):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        hp.Choice("shape", [(1, 2), None])
        rate = hp.Float("rate", 1e-3, 0.5, sampling="log")
        model.compile(keras.optimizers.SGD(rate), loss="mse", run_eagerly=True)
        return model

    made = tuning.Tuner(build, "val_loss", max_trials=2, algorithm="random", seed=3,
                        directory=tmp_path / "search")  # fmt: skip
    callback = keras.callbacks.TensorBoard(tmp_path / "logs", write_graph=False)
    made.search(x, x, validation_data=(x, x), epochs=2, callbacks=[callback], verbose=0)
    experiment, groups = dashboard(tmp_path / "logs")
    assert {info.name for info in experiment.hparam_infos} == {"shape", "rate"}
    for row in made.results():
        group = groups[row["trial"]]
        assert values(group) == {
            "shape": str(row["value/shape"]),
            "rate": row["value/rate"],
        }
        (metric,) = group.metric_values
        assert metric.value == pytest.approx(row["score"], rel=1e-5)
        (session,) = group.sessions
        assert session.status == 1
        assert (tmp_path / "logs" / session.name / "validation").is_dir()
