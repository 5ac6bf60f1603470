"""The search for a quantization: real exports, and the choice by itself."""

import dataclasses

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_strategies import export
from keras_strategies.export._worker import converter_client
from keras_strategies.export.convert import _auto_quantization, _options
from keras_strategies.export.verify import _metric_constraint
from keras_strategies.export.verify._criteria import MODE_LIMITS, Criteria
from tests.export import models

pytestmark = pytest.mark.tensorflow
L = keras.layers


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return (data.images[..., None] / 16).astype("float32"), data.target


@pytest.fixture(scope="module")
def trained(digits):
    x, y = digits
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            L.Conv2D(32, 3, padding="same", activation="relu"),
            L.Conv2D(32, 3, activation="relu"),
            L.Flatten(),
            L.Dense(64, activation="relu"),
            L.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x[:1000], y[:1000], epochs=4, verbose=0)
    return model


def test_the_smallest_that_keeps_to_the_limits(trained, digits, target):
    x, y = digits
    result = export.to_tflite(
        trained,
        target,
        quantization="auto",
        representative_data=x[:200],
        verify=x[1200:],
        labels=y[1200:],
        max_metric_drop=0.02,
    )
    search = result.search
    assert search["search_samples"] + search["gate_samples"] == len(x) - 1200
    assert result.samples == search["gate_samples"]
    assert search["gate_agreement"] == result.agreement >= 0.98
    assert search["gate_loss"] <= 1 and search["search_loss"] <= 0.5
    assert search["margin"] == pytest.approx(0.5) and result.passed
    kept = [c for c in search["candidates"] if c["kept"]]
    assert {c["mode"] for c in search["candidates"]} >= {"float32", "int8", "dynamic"}
    assert all(c["loss"] <= 0.5 and c["metric_drop"] <= 0.01 for c in kept)
    smallest = min(kept, key=lambda c: c["bytes"])
    assert smallest["mode"] == search["chosen"] == result.quantization
    assert smallest["bytes"] == result.bytes == target.stat().st_size
    assert result.metric["drop"] <= 0.02
    assert search["chosen"] in result.table()


def test_the_metric_can_refuse(trained, digits, target):
    x, y = digits
    with pytest.raises(export.ExportError, match="accuracy is .* worse by") as caught:
        export.to_tflite(
            trained,
            target,
            quantization="int4_weights",
            verify=x[1200:],
            min_agreement=0,
            labels=np.asarray(trained.predict(x[1200:], verbose=0)).argmax(axis=1),
            max_metric_drop=0.0,
            keep_rejected=True,
        )
    assert caught.value.details["metric"]["keras"] == 1.0
    assert not target.exists()
    assert target.with_name(target.name + ".rejected").is_file()


@pytest.mark.slow
def test_without_apart_data_the_samples_are_shared_out(trained, digits, target):
    x, _ = digits
    result = export.to_tflite(
        trained,
        target,
        quantization="auto",
        objective="latency",
        representative_data=x[:160],
        min_agreement=0.9,
    )
    search = result.search
    assert search["objective"] == "latency"
    assert (search["search_samples"], search["gate_samples"]) == (40, 40)
    assert result.calibration_samples == 80


@pytest.mark.slow
def test_refuses_when_nothing_is_good_enough(target):
    model, shapes = models.dense()
    # Half of the weights overflow float16; nothing but float32 is near.
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 1e6)
    samples = models.samples(shapes, 100)
    result = export.to_tflite(
        model,
        target,
        quantization="auto",
        verify=samples,
        min_agreement=1.0,
        margin=0.0,
    )
    assert "int8 was not tried" in result.warnings[-1]
    assert result.search["chosen"] in ("float32", "float16", "dynamic")


class _FakeJob:
    """Layers whose quantization costs what `costs` says; no files, no worker."""

    def __init__(self, costs, tmp_path, allowed):
        self.costs, self.folder, self.allowed = costs, tmp_path, allowed
        self.criteria = Criteria(MODE_LIMITS["dynamic"])
        self.metric_constraint = None
        self.looping_layers, self.representative = [], {}
        self.layers, self.model = {}, None


def _search(costs, allowed, tmp_path, monkeypatch):
    job = _FakeJob(costs, tmp_path, allowed)
    job.samples = {"x": np.zeros((100, 1))}
    job.reference = {"y": np.zeros((100, 1))}
    config = _options.SearchConfig("size", 0.0)
    search = _auto_quantization.AutoQuantizationSearch(job, config, np.arange(100))
    search.rank_layers = lambda: sorted(costs, key=lambda name: -costs[name])
    tried = []

    def mixed(layers):
        tried.append(len(layers))
        lost = sum(cost for name, cost in costs.items() if name not in layers)
        entry = {"mode": f"mixed {len(layers)}", "bytes": 100 + 10 * len(layers)}
        entry["kept"] = lost <= allowed
        search.candidates.append(entry)
        return entry

    search.measure_mixed = mixed
    search.candidates = [
        {"mode": "float32", "kept": True, "bytes": 400},
        {"mode": "int8", "kept": sum(costs.values()) <= allowed, "bytes": 100},
    ]
    return search, tried


@pytest.mark.parametrize("bad", [1, 2, 3, 5, 7, 11])
def test_the_fewest_layers_are_left_in_float(bad, tmp_path, monkeypatch):
    costs = {f"layer_{i}": 0.1 if i < bad else 0.0001 for i in range(16)}
    search, tried = _search(costs, 0.01, tmp_path, monkeypatch)
    search.search_float_layers()
    best = min((c for c in search.candidates if c["kept"]), key=lambda c: c["bytes"])
    assert best["mode"] == f"mixed {bad}"
    assert len(tried) <= 9  # doubling and halving, not one by one


def test_no_search_by_layer_where_it_cannot_win(tmp_path, monkeypatch):
    costs = {f"layer_{i}": 0.1 for i in range(6)}
    search, tried = _search(costs, 0.01, tmp_path, monkeypatch)
    search.candidates[0]["bytes"] = 90  # something kept is smaller than int8
    search.search_float_layers()
    assert tried == []
    search, tried = _search(costs, 1.0, tmp_path, monkeypatch)  # int8 is good enough
    search.search_float_layers()
    assert tried == []


def test_a_choice_that_fails_on_held_out_data_is_refused(
    trained, digits, target, monkeypatch
):
    x, _ = digits
    judge = _auto_quantization._outputs.compare_outputs

    def harsher(reference, actual, spans, criteria):
        figures = judge(reference, actual, spans, criteria)
        if not criteria.search_margin:  # only the check on held-out data
            verdicts = figures["verdicts"].items()
            failed = {n: dataclasses.replace(v, passed=False) for n, v in verdicts}
            figures["verdicts"] = failed
        return figures

    monkeypatch.setattr(
        "keras_strategies.export.verify._outputs.compare_outputs", harsher
    )
    target.write_bytes(b"kept")
    with pytest.raises(export.ExportError, match="held out.*larger `margin`") as caught:
        export.to_tflite(
            trained,
            target,
            quantization="auto",
            representative_data=x[:200],
            verify=x[1200:1400],
        )
    details = caught.value.details
    assert details["search"]["search_loss"] <= 0.5
    assert target.read_bytes() == b"kept"


def test_rules_by_layer(trained, digits, target):
    x, _ = digits
    rules = {"^conv2d": "int8", "dense": "dynamic"}
    result = export.to_tflite(
        trained, target, quantization=rules, representative_data=x[:200]
    )
    assert result.quantization == rules
    assert result.agreement >= 0.97
    # Convolutions compute in integers between a pair of casts, dense layers do not.
    assert result.ops["QUANTIZE"] >= 1 and result.ops["DEQUANTIZE"] >= 1
    alone = export.to_tflite(
        trained, target, quantization={"dense": "dynamic"}, verify=x[:200]
    )
    assert "QUANTIZE" not in alone.ops and alone.bytes > result.bytes
    with pytest.raises(ValueError, match="fits no operation.*regex='dens_e'"):
        export.to_tflite(trained, target, quantization={"dens_e": "dynamic"})


def test_selected_layers(trained, digits, target):
    x, _ = digits
    data = {"representative_data": x[:200], "quantization": "int8"}
    whole = export.to_tflite(trained, target, **data, quantizer="litert-quantizer")
    convolutions = [layer for layer in trained.layers if isinstance(layer, L.Conv2D)]
    excluded = export.to_tflite(trained, target, **data, exclude=convolutions)
    included = export.to_tflite(
        trained, target, **data, include=lambda x: not isinstance(x, L.Conv2D)
    )
    # The same selection in other words.
    assert excluded.ops == included.ops and excluded.bytes == included.bytes
    first, second = (layer.name for layer in convolutions)
    pattern = f"^(?:{first}|{second})(?:/|$)"
    assert excluded.quantization == {pattern: "float32", ".*": "int8"}
    rest = export.to_tflite(trained, target, **data, exclude=f"^{first}$")
    assert whole.bytes < rest.bytes < excluded.bytes
    again = export.to_tflite(
        trained, target, representative_data=x[:200], quantization=rest.quantization
    )
    assert again.bytes == rest.bytes


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"exclude": "conv"}, "need one mode as `quantization`"),
        ({"exclude": "conv", "quantization": "auto"}, "need one mode"),
        ({"include": "none", "quantization": "dynamic"}, "`include` must match"),
        ({"exclude": "none", "quantization": "dynamic"}, "`exclude` must match"),
        ({"exclude": ".", "quantization": "dynamic"}, "must leave a layer"),
    ],
)
def test_selections_that_cannot_work(options, match, trained, target):
    with pytest.raises(ValueError, match=match):
        export.to_tflite(trained, target, **options)
    assert not target.exists()


@pytest.mark.parametrize("mode", ["float16", "dynamic", "int8", "int16x8"])
def test_the_other_quantizer(mode, trained, digits, target):
    x, _ = digits
    result = export.to_tflite(
        trained,
        target,
        quantization=mode,
        representative_data=x[:200],
        quantizer="litert-quantizer",
    )
    assert result.agreement >= 0.97


def test_metric_constraint():
    labels = np.array([0, 1, 1, 0])
    good = {"y": np.eye(2)[labels].astype("float32")}
    worse = {"y": np.eye(2)[[0, 1, 0, 0]].astype("float32")}
    constraint = _metric_constraint.MetricConstraint(labels, "accuracy", 0.3)
    assert constraint.check(good, worse)["drop"] == pytest.approx(0.25)
    assert constraint.check(worse, good)["drop"] == pytest.approx(-0.25)
    with pytest.raises(export.ExportError, match="worse by 0.2500"):
        _metric_constraint.MetricConstraint(labels, "accuracy", 0.2).check(good, worse)
    values = np.array([[1.0], [2.0]])
    constraint = _metric_constraint.MetricConstraint(values, "mae", 0.1)
    exact, off = {"y": values}, {"y": values + 0.5}
    with pytest.raises(export.ExportError, match="worse by 0.5"):
        constraint.check(exact, off)
    assert constraint.check(off, exact)["drop"] == pytest.approx(-0.5)
    with pytest.raises(ValueError, match="one output"):
        constraint.validate(2, exact | {"z": values})


def _user_score(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true - y_pred))


_user_score.__name__ = "accuracy"  # a name says nothing


@pytest.mark.parametrize(
    "metric",
    [
        _user_score,
        lambda y_true, y_pred: 0.0,
        "no_metric",
        keras.metrics.MeanMetricWrapper(_user_score, name="loss_like"),
        keras.metrics.Mean(),
    ],
)
def test_a_metric_of_unknown_direction_is_refused_early(metric, target, monkeypatch):
    def start(self):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(converter_client.ConverterClient, "start", start)
    x, y = np.zeros((4, 4), "float32"), np.zeros(4)
    with pytest.raises(ValueError, match="whether less or more of it is better"):
        export.to_tflite(
            models.tiny(),
            target,
            verify=x,
            labels=y,
            metric=metric,
            max_metric_drop=0.1,
        )
    assert not target.exists()


@pytest.mark.parametrize(
    "metric", [keras.metrics.Hinge(), "hinge", keras.losses.hinge, keras.losses.Hinge()]
)
def test_a_metric_to_minimize_refuses_a_ruined_file(metric, target):
    """The hinge of a ruined file is larger, which is worse whatever it is called."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 8)).astype("float32")
    y = np.sign(x[:, :1]).astype("float32")
    model = keras.Sequential(
        [keras.Input((8,)), L.Dense(64, activation="tanh"), L.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.01), "hinge")
    model.fit(x, y, epochs=10, verbose=0)
    options = {"labels": y, "metric": metric, "verify": x, "min_agreement": 0.0}
    with pytest.raises(export.ExportError, match="worse by") as caught:
        export.to_tflite(
            model,
            target,
            quantization="int8",
            representative_data=x * 0.02,  # ranges 50 times too small
            max_metric_drop=0.05,
            **options,
        )
    figures = caught.value.details["metric"]
    assert figures["drop"] == figures["artifact"] - figures["keras"] > 0.05
    result = export.to_tflite(model, target, max_metric_drop=0.05, **options)
    assert abs(result.metric["drop"]) < 0.01
