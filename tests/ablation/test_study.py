"""Whole studies with real trainings: verdicts, repeats, interruptions, bad input."""

import concurrent.futures
import functools

import keras
import numpy as np
import pytest

from keras_strategies import ablation
from tests.ablation import networks

Strategy = ablation.Strategy
SMALL = {"metric": "val_loss", "seeds": 3, "max_seeds": 3, "epochs": 1, "seed": 0}


def study(strategies=None, build=networks.slow_learner, data=None, **options):
    strategies = networks.strategies() if strategies is None else strategies
    data = networks.blobs() if data is None else data
    return ablation.study(build, data, strategies, **{**SMALL, "verbose": 0, **options})


def without_times(result):
    rows = [dict(row) for row in result.rows]
    for row in rows:
        del row["time_ratio"]
    return rows


@pytest.fixture(scope="module")
def result():
    def not_here(model):
        raise ablation.NotApplicable("the model has no convolution")

    changes = networks.strategies() | {
        "failing": Strategy("failing", optimizer=networks.failing),
        "not_here": Strategy("not_here", model=not_here),
        "same": Strategy("same", fit={"batch_size": 32}),
        "mine": Strategy("yours", fit={"batch_size": 32}),
    }
    return study(changes, data=networks.blobs(1200))


def test_verdicts(result):
    verdicts = {name: item.verdict for name, item in result.strategies.items()}
    assert verdicts == {
        "adam": "helps",
        "nothing": "no difference",
        "failing": "not applicable",
        "not_here": "not applicable",
        "same": "not applicable",
        "mine": "not applicable",
    }
    adam = result.strategies["adam"]
    assert adam.difference < 0 and adam.interval[1] < 0
    assert adam.p_value <= 0.05 and adam.seeds == 3
    assert adam.extra_parameters == 0 and adam.inference_ratio == 1.0
    assert result.metric == "loss" and result.direction == "min"
    assert result.helpful == ["adam"]


def test_reasons(result):
    reasons = {name: item.reason for name, item in result.strategies.items()}
    assert reasons["nothing"] == "every training is the same as without it"
    assert reasons["not_here"] == "the model has no convolution"
    assert reasons["failing"] == "it raises RuntimeError: no such optimizer"
    assert reasons["same"] == "the baseline has batch_size=32 already"


def test_curves(result):
    pytest.importorskip("matplotlib")
    axes = result.plot(kind="curves")
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["baseline", "adam"]


def test_best_and_its_model(result):
    best = result.best(seeds=4, verbose=0)
    assert best.strategies == ["adam"] and best.difference < 0
    model = best.train()
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    x, y = networks.blobs()
    assert model.evaluate(x, y, verbose=0)[1] > 0.7


def test_code_of_own_functions(result):
    text = result.code()
    assert "optimizer = adam(optimizer)" in text
    x, y = networks.blobs()
    names = {"model": networks.slow_learner(), "adam": networks.adam}
    names |= {"x_train": x[:80], "y_train": y[:80], "x_val": x[80:], "y_val": y[80:]}
    exec(compile(text, "<code>", "exec"), names)
    assert isinstance(names["model"].optimizer, keras.optimizers.Adam)
    assert "baseline" not in result.code(["nothing"])


@pytest.mark.slow
def test_interrupted_studies_go_on(result, tmp_path):
    """Nothing is trained twice, and the table is that of an uninterrupted study."""
    few = networks.strategies()
    whole = study(few)
    first = study(few, directory=tmp_path, time_limit=1e-6)
    assert first.trainings == 0
    assert {r.reason for r in first.strategies.values()} == {"the time limit"}
    path = tmp_path / "trainings.jsonl"
    study(few, directory=tmp_path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:4]))
    trained = []
    build = functools.partial(_counted, trained)
    again = study(few, build=build, directory=tmp_path)
    assert without_times(again) == without_times(whole)
    assert path.read_text().splitlines(keepends=True)[:4] == lines[:4]
    assert len(path.read_text().splitlines()) == len(lines)
    # A model for each training and one that judges all; before, one of the baseline
    # and those of two strategies.
    assert len(trained) == (len(lines) - 4) + 1 + 1 + 2
    with pytest.raises(ValueError, match="another epochs"):
        study(few, directory=tmp_path, epochs=2)
    with pytest.raises(ValueError, match="another data"):
        study(few, directory=tmp_path, data=networks.blobs(seed=3))


def _counted(calls):
    calls.append(1)
    return networks.slow_learner()


def test_weights_on_request(tmp_path):
    study(
        {"adam": networks.strategies()["adam"]}, directory=tmp_path, save_weights=True
    )
    files = sorted(path.name for path in (tmp_path / "weights").iterdir())
    expected = [
        f"{arm}-{run}.weights.h5" for arm in ("adam", "baseline") for run in "012"
    ]
    assert files == expected
    model = keras.Sequential.from_config(networks.slow_learner().get_config())
    model.load_weights(tmp_path / "weights" / "adam-1.weights.h5")


def test_a_build_function_that_draws_from_elsewhere_is_named():
    rng = np.random.default_rng()

    def build():
        model = networks.slow_learner()
        model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
        return model

    result = study({"nothing": networks.strategies()["nothing"]}, build=build)
    assert any("other initial weights" in line for line in result.warnings)


def test_splits_of_their_own():
    result = study({"adam": networks.strategies()["adam"]}, splits=3)
    assert result.strategies["adam"].test_error == 0
    assert any("Nadeau and Bengio" in line for line in result.warnings)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"metric": "val_recall"}, ValueError, r"metrics=\['loss', 'accuracy'\]"),
        ({"strategies": []}, ValueError, "at least one strategy"),
        ({"strategies": [Strategy("a"), Strategy("a")]}, ValueError, r"twice=\['a'\]"),
        ({"strategies": {"baseline": Strategy("a")}}, ValueError, "'baseline'"),
        ({"strategies": {"a": 3}}, TypeError, "must be a Strategy"),
        ({"seeds": 2}, ValueError, "`seeds` must be an integer in"),
        ({"seeds": 5}, ValueError, "at least `seeds`"),
        ({"design": "best"}, ValueError, "`design` must be one of"),
        ({"tolerance": 0}, ValueError, "`tolerance` must be greater than 0"),
        ({"workers": 2, "executor": concurrent.futures.Executor()}, ValueError, "both"),
        ({"executor": 3}, TypeError, "concurrent.futures.Executor"),
        ({"save_weights": True}, ValueError, "needs a directory"),
        ({"data": networks.blobs(6)}, ValueError, "enough samples"),
        ({"build": keras.Sequential}, ValueError, "compiled keras.Model"),
        ({"build": networks.build()}, TypeError, "must be a function"),
    ],
)
def test_bad_input(change, error, text):
    with pytest.raises(error, match=text):
        study(**change)


def test_a_metric_of_unknown_direction():
    def odd(y_true, y_pred):
        return keras.ops.sum(y_pred, axis=-1)

    def build():
        model = networks.slow_learner()
        model.compile("sgd", networks.LOSS, metrics=[odd])
        return model

    nothing = {"nothing": networks.strategies()["nothing"]}
    with pytest.raises(ValueError, match="Give `mode`"):
        study(nothing, build=build, metric="odd")
    assert study(nothing, build=build, metric="odd", mode="min").direction == "min"


def test_strategies_that_exclude_each_other():
    changes = {n: Strategy(n, group="one", callbacks=networks.nothing) for n in "ab"}
    with pytest.raises(ValueError, match="must not exclude each other.*group 'one'"):
        study(changes, design="leave_one_out")


def test_keys_win_over_names(result):
    assert result.strategies["mine"].name == "mine"


@pytest.mark.slow
def test_screening_with_real_trainings():
    changes = {
        f"s{n}": Strategy(f"s{n}", callbacks=networks.nothing) for n in range(4)
    } | {"adam": networks.strategies()["adam"]}
    result = study(changes, design="screen")
    assert result.strategies["adam"].verdict == "helps"
    assert result.strategies["adam"].screening[0] < 0
    assert (
        sum(r.reason.startswith("not selected") for r in result.strategies.values())
        == 2
    )


@pytest.mark.slow
@pytest.mark.parametrize("design", ["leave_one_out", "factorial"])
def test_designs_with_real_trainings(design):
    result = study(design=design)
    assert result.strategies["adam"].verdict == "helps"
    assert result.strategies["nothing"].verdict == "no difference"
