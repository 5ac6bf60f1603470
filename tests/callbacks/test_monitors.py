"""GradientMonitor, ThroughputMonitor, MemoryMonitor and ProgressBar."""

import io
import itertools

import keras
import numpy as np
import pytest

from keras_strategies import callbacks
from keras_strategies._internal.keras_private import devices
from keras_strategies.callbacks.monitors import (
    memory_monitor,
    progress_bar,
    throughput_monitor,
)
from tests.contract import models

BACKEND = keras.backend.backend()
X = np.float32([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5], [2.0, 0.0]])
Y = np.float32([[1.0], [0.0], [2.0], [-1.0]])
KERNEL = np.float32([[0.5], [-0.5]])


def linear(**arguments):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.layers[0].set_weights([KERNEL, np.float32([0.25])])
    arguments = {"loss": "mse", "optimizer": keras.optimizers.SGD(0.0), **arguments}
    model.compile(**arguments)
    return model


def fit(model, *used, x=X, y=Y, **arguments):
    arguments = {"batch_size": 1, "shuffle": False, "verbose": 0, **arguments}
    return model.fit(x, y, callbacks=list(used), **arguments).history


def gradients():
    """Of each sample: those of the kernel and of the bias."""
    error = 2 * (X @ KERNEL + 0.25 - Y)
    return error * X, error


@pytest.mark.parametrize("by", ("layer", "weight"))
def test_norms_are_those_of_the_gradients(by):
    monitor = callbacks.GradientMonitor(by=by, detailed_logs=True)
    model = linear()
    history = fit(model, monitor, epochs=2)
    kernel, bias = (np.linalg.norm(g, axis=1) for g in gradients())
    both = np.hypot(kernel, bias)
    expected = {"all": both}
    if by == "layer":
        expected[model.layers[0].kernel.path.rpartition("/")[0]] = both
    else:
        expected[model.layers[0].kernel.path] = kernel
        expected[model.layers[0].bias.path] = bias
    assert list(monitor.history["mean"]) == list(expected)
    for name, norms in expected.items():
        for key, value in (("mean", norms.mean()), ("max", norms.max())):
            np.testing.assert_allclose(monitor.history[key][name], [value] * 2, 1e-5)
        key = "gradient_norm" if name == "all" else f"gradient_norm/{name}"
        np.testing.assert_allclose(history[key], monitor.history["mean"][name])
    assert monitor.history["epoch"] == [0, 1]
    assert all(bad == [0, 0] for bad in monitor.history["nonfinite"].values())
    assert f"{both.max():.3g}" in monitor.table()


def two_layers():
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(2, name="backbone"),
            keras.layers.Dense(1, name="head"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.0), loss="mse")
    return model


@pytest.mark.parametrize(
    "selection",
    [
        {"include": "^head/"},
        {"include": lambda layer: layer.units == 1},
        {"exclude": "backbone"},
        {"include": ["kernel", "^head$"], "exclude": ["^backbone"]},
    ],
    ids=["path", "function", "exclude", "both"],
)
def test_selected_weights_are_measured_beside_the_total(selection):
    model, whole = two_layers(), callbacks.GradientMonitor()
    some = callbacks.GradientMonitor(**selection)
    fit(model, whole, some)
    head = model.get_layer("head").kernel.path.rpartition("/")[0]
    assert list(some.history["mean"]) == ["all", head]
    for name in ("all", head):
        assert some.history["mean"][name] == whole.history["mean"][name]


def test_a_selection_without_a_weight_is_refused_before_the_training():
    model = two_layers()
    monitor = callbacks.GradientMonitor(include="nowhere")
    with pytest.raises(ValueError, match="`include` must match at least one weight"):
        fit(model, monitor)
    assert "apply" not in model.optimizer.__dict__
    assert monitor.history["epoch"] == []


def test_norms_are_unscaled_and_those_before_clipping():
    scaled = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.0, clipnorm=1e-3), initial_scale=1024.0
    )
    monitor = callbacks.GradientMonitor()
    fit(linear(optimizer=scaled), monitor)
    norms = np.hypot(*(np.linalg.norm(g, axis=1) for g in gradients()))
    np.testing.assert_allclose(monitor.history["mean"]["all"], [norms.mean()], 1e-5)
    fixed = keras.optimizers.SGD(0.0, loss_scale_factor=8.0)
    fit(linear(optimizer=fixed), monitor)
    np.testing.assert_allclose(monitor.history["mean"]["all"], [norms.mean()], 1e-5)


def test_steps_that_are_not_finite_are_counted_apart():
    monitor = callbacks.GradientMonitor()
    broken = np.where(np.arange(4)[:, None] == 2, np.nan, Y).astype("float32")
    fit(linear(), monitor, y=broken)
    norms = np.hypot(*(np.linalg.norm(g, axis=1) for g in gradients()))[[0, 1, 3]]
    # The update by NaN makes the weights NaN, even at rate 0: so is the last step.
    assert monitor.history["nonfinite"]["all"] == [2]
    np.testing.assert_allclose(
        monitor.history["mean"]["all"], [norms[:2].mean()], rtol=1e-5
    )


def test_nothing_of_the_monitor_stays_in_the_model():
    model = linear(optimizer=keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    before = [v.path for v in model.optimizer.variables]
    failed = callbacks.GradientMonitor()
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(model, failed, _Stops())
    assert len(model.optimizer.variables) == len(before) + 1
    fit(model, callbacks.GradientMonitor())  # clears up after the other one
    assert [v.path for v in model.optimizer.variables] == before
    assert "apply" not in model.optimizer.__dict__
    twice = [callbacks.GradientMonitor(by=by) for by in ("layer", "weight")]
    fit(model, *twice)
    assert twice[0].history["mean"]["all"] == twice[1].history["mean"]["all"]
    assert [v.path for v in model.optimizer.variables] == before


class _Stops(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise RuntimeError("on purpose")


def test_a_plot_has_a_line_for_each_layer():
    pytest.importorskip("matplotlib").use("Agg")
    monitor = callbacks.GradientMonitor()
    assert "No epoch" in monitor.table()
    fit(linear(), monitor)
    assert len(monitor.plot().get_lines()) == 2


def test_throughput_counts_steps_after_the_first(monkeypatch):
    seconds = itertools.count()
    monkeypatch.setattr(throughput_monitor, "_now", lambda: next(seconds))
    speed = callbacks.ThroughputMonitor(batch_size=32)
    speed.set_params({"epochs": 3})
    speed.on_train_begin()
    assert speed.eta is None
    logs = {}
    speed.on_epoch_begin(0)  # at 0; batches end at 1, 2, 3, the epoch at 4
    for batch in range(3):
        speed.on_train_batch_end(batch)
    speed.on_epoch_end(0, logs)
    assert logs == {"steps_per_second": 1.0, "samples_per_second": 32.0}
    assert speed.eta == 2 * 4
    speed.on_epoch_begin(1)  # at 5; executions of 4 steps end at 6 and 7
    speed.on_train_batch_end(3)
    speed.on_train_batch_end(7)
    speed.on_epoch_end(1, logs)
    assert logs["steps_per_second"] == 4.0
    assert speed.eta == 3.0  # the mean without the first epoch


def test_throughput_prints_what_is_left(capsys):
    fit(linear(), callbacks.ThroughputMonitor(batch_size=1, verbose=1), epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Epoch 1: ") and "samples/s" in lines[0]
    assert lines[1].endswith(" 0:00 to go")
    assert throughput_monitor.clock(3723) == "1:02:03"


def test_memory_is_logged_and_a_limit_stops(monkeypatch):
    used = itertools.chain([1e6, 5e6, 2e6], itertools.repeat(3e6))
    monkeypatch.setattr(memory_monitor, "host_memory", lambda: next(used))
    monkeypatch.setattr(memory_monitor, "device_memory", lambda: (7e6, 9e6))
    monitor = callbacks.MemoryMonitor(update_freq=4)
    history = fit(linear(), monitor, epochs=2)
    assert history["host_memory_mb"] == [2.0, 3.0]
    assert history["host_memory_peak_mb"] == [5.0, 5.0]
    assert history["device_memory_mb"] == [7.0, 7.0]
    assert history["device_memory_peak_mb"] == [9.0, 9.0]
    with pytest.warns(RuntimeWarning, match="limit_mb"):
        history = fit(linear(), callbacks.MemoryMonitor(limit_mb=2.5), epochs=9)
    assert len(history["loss"]) == 1


def test_memory_of_the_process_and_of_the_device():
    before = memory_monitor.host_memory()
    held = np.ones(32_000_000)  # 256 MB
    assert 200e6 < memory_monitor.host_memory() - before < 400e6 and held[0] == 1
    found = devices.device_memory()
    assert found is None or found[1] >= found[0] > 0


def lines_of(mode="auto", width=160, **arguments):
    from rich.console import Console

    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=mode == "bars")
    bar = callbacks.ProgressBar(mode=mode, console=console)
    history = fit(linear(), bar, epochs=2, **arguments)
    return out.getvalue(), history


def test_lines_for_a_file(capsys):
    text, history = lines_of(verbose=1, validation_data=(X, Y))
    first, second = text.splitlines()
    assert first.startswith("Epoch 1/2  0:0")
    assert f"loss {history['loss'][0]:.4g}  val_loss {history['val_loss'][0]:.4g}" in (
        first
    )
    assert second.startswith("Epoch 2/2")
    assert capsys.readouterr().out == ""  # Keras's own bar is silent


def test_bars_for_a_terminal_leave_the_lines():
    text, _ = lines_of("bars")
    assert "epochs" in text and "batches" in text and "\x1b[" in text
    assert "Epoch 1/2" in text and "Epoch 2/2" in text
    assert text.rstrip().endswith(("\x1b[2K", "\x1b[?25h", "h"))  # the cursor is back


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_chosen_metrics_and_unknown_lengths():
    def batches():
        for _ in range(3):
            yield X, Y

    bar = callbacks.ProgressBar(metrics=["loss"], mode="bars", console=_terminal())
    model = linear(metrics=["mae"])
    model.fit(batches(), callbacks=[bar], shuffle=False, verbose=0)
    text = bar.console.file.getvalue()
    assert "loss" in text and "mae" not in text
    assert bar._steps == 3


@pytest.mark.parametrize("widgets", (True, False))
def test_a_notebook_needs_widgets_for_bars(monkeypatch, widgets):
    from rich.console import Console

    console = Console(file=io.StringIO(), force_jupyter=True)
    monkeypatch.setattr(
        progress_bar.importlib.util, "find_spec", lambda name: widgets or None
    )
    assert progress_bar._can_draw_bars(console) is widgets


def test_bars_of_a_fit_that_failed_make_place():
    first = callbacks.ProgressBar(mode="bars", console=_terminal())
    with pytest.raises(RuntimeError, match="on purpose"):
        fit(linear(), first, _Stops())
    assert first._bars is not None
    fit(linear(), callbacks.ProgressBar(mode="bars", console=first.console))
    assert first._bars is None


def _terminal():
    from rich.console import Console

    return Console(file=io.StringIO(), width=160, force_terminal=True)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: callbacks.GradientMonitor(by="model"), "by"),
        (lambda: callbacks.GradientMonitor(detailed_logs=1), "detailed_logs"),
        (lambda: callbacks.ThroughputMonitor(batch_size=0), "batch_size"),
        (lambda: callbacks.MemoryMonitor(update_freq=0), "update_freq"),
        (lambda: callbacks.MemoryMonitor(limit_mb=-1), "limit_mb"),
        (lambda: callbacks.ProgressBar(metrics="loss"), "metrics"),
        (lambda: callbacks.ProgressBar(mode="none"), "mode"),
    ],
)
def test_bad_arguments_are_named(make, name):
    with pytest.raises((ValueError, TypeError), match=name):
        make()


def test_the_training_is_the_same_with_all_of_them():
    keras.utils.set_random_seed(1)
    plain = models.mlp()
    watched = keras.models.clone_model(plain)
    watched.set_weights(plain.get_weights())
    x, y = models.classification_data()
    used = [callbacks.GradientMonitor(), callbacks.ThroughputMonitor()]
    used += [callbacks.MemoryMonitor(), callbacks.ProgressBar(console=_terminal())]
    for model, these in ((plain, []), (watched, used)):
        model.compile("adam", loss="sparse_categorical_crossentropy")
        fit(model, *these, x=x, y=y, batch_size=8, epochs=2)
    for a, b in zip(plain.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)
