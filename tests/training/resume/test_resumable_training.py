"""What ResumableTraining does beside going on: files, signals, refusals, words."""

import os
import shutil
import signal
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from keras_strategies import callbacks, training
from keras_strategies.training._resume import checkpoints
from tests.callbacks.keras_suites import run_keras_suite
from tests.training.resume.trainings import (
    BATCH,
    EPOCHS,
    STEPS,
    InterruptAt,
    Interruption,
    arrays,
    indexed,
)

BACKEND = keras.backend.backend()


def _model(units=2, rate=0.1):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(units)])
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def _fit(folder, *others, model=None, data=None, epochs=EPOCHS, **options):
    model = model or _model()
    options = {"verbose": 0, **options}
    resumable = training.ResumableTraining(folder, **options)
    data = indexed() if data is None else data
    history = model.fit(data, epochs=epochs, callbacks=[resumable, *others], verbose=0)
    return model, history


def _names(folder):
    return sorted(p.name for p in folder.glob("checkpoint-*"))


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A training of three epochs that has ended, and its folder to be copied."""
    folder = tmp_path_factory.mktemp("ended") / "run"
    log = folder.parent / "log.csv"
    model, history = _fit(folder, keras.callbacks.CSVLogger(str(log)))
    return folder, model, history, log


def test_a_training_that_has_ended_does_nothing(tmp_path, ended, capsys):
    folder, model, history, log = ended
    shutil.copytree(folder, tmp_path / "run")
    shutil.copy(log, tmp_path / "log.csv")
    logger = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    again, same = _fit(tmp_path / "run", logger, verbose=1)
    assert "has ended after 3 epochs" in capsys.readouterr().out
    assert (tmp_path / "log.csv").read_text() == log.read_text()
    assert same.history == history.history
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert _names(tmp_path / "run") == _names(folder)
    # The same model trains on without the callback.
    assert again.fit(indexed(), epochs=2, verbose=0).epoch == [0, 1]


def test_the_end_of_another_fit_does_not_write_over_weights(tmp_path):
    # At its end fit writes the optimizer's averages into the weights, and then
    # WeightAveraging writes its own, which are the result of this training.
    def fit():
        averages = callbacks.WeightAveraging(decay=0.5)
        sgd = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.9)
        model = _model()
        model.compile(sgd, "mse")
        return _fit(tmp_path / "run", averages, model=model)[0].get_weights()

    for before, after in zip(fit(), fit(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_more_epochs_go_on_as_if_there_had_been_more(tmp_path, ended):
    shutil.copytree(ended[0], tmp_path / "run")
    log = tmp_path / "log.csv"
    _, history = _fit(tmp_path / "run", keras.callbacks.CSVLogger(str(log)), epochs=4)
    assert history.epoch == [0, 1, 2, 3]
    whole = tmp_path / "whole.csv"
    keras.utils.set_random_seed(0)
    shutil.rmtree(tmp_path / "run")
    assert len(log.read_text().splitlines()) == 5
    assert not whole.exists()


def test_a_checkpoint_of_before_the_end_is_needed(tmp_path):
    _fit(tmp_path / "run", keep=1, epochs=1)
    with pytest.raises(ValueError, match="Keep more than one checkpoint"):
        _fit(tmp_path / "run", keep=1, epochs=2)


def test_a_stopped_training_stays_stopped(tmp_path):
    def stop():
        return callbacks.EarlyStopping("loss", patience=0, min_delta=100.0)

    _, history = _fit(tmp_path / "run", stop(), epochs=5)
    assert history.epoch == [0, 1]
    assert _fit(tmp_path / "run", stop(), epochs=9)[1].epoch == [0, 1]
    # Also one that died after the decision, before the end.
    newest = tmp_path / "run" / _names(tmp_path / "run")[-1]
    shutil.rmtree(newest)
    assert _fit(tmp_path / "run", stop(), epochs=5)[1].epoch == [0, 1]


DIFFERENCES = {
    "model": (lambda: {"model": _model(units=3)}, r"model.layers.\d.units: 2 before"),
    "optimizer": (
        lambda: {"model": _model(rate=0.2)},
        r"optimizer.learning_rate: 0.1\d* before, 0.2",
    ),
    "data": (lambda: {"data": indexed(batch_size=5)}, "data.batch_size: 4 before, 5"),
    "callbacks": (lambda: {"others": [callbacks.MemoryMonitor()]}, "callbacks: "),
}


@pytest.mark.parametrize("part", DIFFERENCES)
def test_another_training_is_refused_by_name(tmp_path, ended, part):
    shutil.copytree(ended[0], tmp_path / "run")
    make, text = DIFFERENCES[part]
    options = {"others": [], **make()}
    others = options.pop("others")
    others.append(keras.callbacks.CSVLogger(str(tmp_path / "log.csv")))
    with pytest.raises(ValueError, match=f"{text}.*allow=.*{part}"):
        _fit(tmp_path / "run", *others, epochs=5, **options)
    assert _names(tmp_path / "run") == _names(ended[0])
    if part == "model":  # whatever is allowed, the weights do not fit
        with pytest.raises(ValueError, match="must have the variables .*in_checkpoint"):
            options["model"] = _model(units=3)
            _fit(tmp_path / "run", *others, epochs=5, allow=("model",), **options)
        return
    options = {**options, **make()}
    options.pop("others", None)
    _, history = _fit(tmp_path / "run", *others, epochs=4, allow=(part,), **options)
    assert history.epoch == [0, 1, 2, 3]


def test_what_is_meant_holds(tmp_path, ended):
    shutil.copytree(ended[0], tmp_path / "run")
    logger = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    options = {"epochs": 4, "allow": ("optimizer",)}
    model, _ = _fit(tmp_path / "run", logger, model=_model(rate=0.25), **options)
    assert float(model.optimizer.learning_rate) == 0.25
    assert int(model.optimizer.iterations) == 4 * STEPS
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(ended[0], tmp_path / "run")
    other = _model()
    other.compile("adam", "mse")
    with pytest.warns(UserWarning, match="variables of the optimizer begin anew"):
        _fit(tmp_path / "run", logger, model=other, **options)
    assert int(other.optimizer.iterations) == STEPS


def test_a_rate_that_callbacks_changed_is_no_difference(tmp_path):
    def run(model, *others):
        rates = callbacks.LearningRateScheduler(lambda epoch, rate: 0.5 * rate)
        return _fit(tmp_path / "run", rates, *others, model=model, allow=("callbacks",))

    model = _model()
    with pytest.raises(Interruption):
        run(model, InterruptAt(STEPS + 2))
    assert run(model)[1].epoch == [0, 1, 2]  # the same model, not compiled anew
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1 * 0.5**3)


def test_another_batch_size_goes_on_at_the_same_record(tmp_path):
    with pytest.raises(Interruption):
        _fit(tmp_path / "run", InterruptAt(4), save_freq=4)
    taken = []

    class Recording(training.IndexedDataset):
        def records(self, step, epoch=None):
            taken.append(step)
            return super().records(step, epoch)

    data = Recording(arrays(), batch_size=8, seed=2)
    _fit(
        tmp_path / "run",
        InterruptAt(10**6),
        data=data,
        epochs=1,
        allow=("data",),
        save_freq=4,
    )
    # 16 records were trained: batches 2 and 3 of 8 are left.
    assert [step for step in dict.fromkeys(taken) if step > 1] == [2, 3]


def _of_ours(caught):
    return [str(w.message) for w in caught if "__array__" not in str(w.message)]


class _Counter(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1


class _Printer(keras.callbacks.Callback):
    """Remembers nothing."""

    def __init__(self):
        super().__init__()
        self.stream = sys.stdout


def test_what_cannot_be_put_back_is_named_once(tmp_path):
    with pytest.warns(UserWarning, match="What _Counter remembers") as caught:
        _fit(tmp_path / "run", _Counter(), _Printer())
    assert len(_of_ours(caught)) == 1


def test_a_state_that_cannot_be_written_is_named(tmp_path):
    class Odd(keras.callbacks.Callback):
        def get_state(self):
            return {"object": object()}

        def set_state(self, state):
            """Never called."""

    with pytest.warns(UserWarning, match="What .*Odd remembers"):
        _fit(tmp_path / "run", Odd(), epochs=1)


def test_data_of_another_order_are_named(tmp_path):
    x, y = arrays()
    doubtful = BACKEND == "tensorflow"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        resumable = training.ResumableTraining(tmp_path / "run", verbose=0)
        _model().fit(x, y, batch_size=8, callbacks=[resumable], verbose=0)
    texts = [text for text in _of_ours(caught) if "another order" in text]
    assert len(texts) == doubtful
    # Warnings are errors here.
    resumable = training.ResumableTraining(tmp_path / "plain", verbose=0)
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    _model().fit(x, y, callbacks=[resumable], **options)


def test_a_second_callback_of_the_kind_is_refused(tmp_path):
    other = training.ResumableTraining(tmp_path / "b")
    with pytest.raises(ValueError, match="Leave ResumableTraining out"):
        _fit(tmp_path / "a", other)
    with pytest.raises(ValueError, match="Leave BackupAndRestore out"):
        _fit(tmp_path / "a", keras.callbacks.BackupAndRestore(tmp_path / "c"))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"directory": ""}, ValueError, "must not be empty"),
        ({"directory": None}, TypeError, "`directory`"),
        ({"save_freq": 0}, ValueError, "`save_freq`"),
        ({"save_freq": "batch"}, TypeError, "'epoch' or a number"),
        ({"keep": 0}, ValueError, "`keep`"),
        ({"allow": "data"}, ValueError, "must name parts"),
        ({"allow": ("date",)}, ValueError, "'data'"),
        ({"on_error": "ignore"}, ValueError, "'warn', 'raise'"),
    ],
)
def test_wrong_arguments(options, error, text):
    with pytest.raises(error, match=text):
        training.ResumableTraining(**{"directory": "run", **options})


def test_read_only_and_full_disks_are_a_warning(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.warns(UserWarning) as caught:
        patch.setattr(checkpoints, "_write_arrays", full)
        _, history = _fit(tmp_path / "run")
    assert history.epoch == [0, 1, 2]
    (text,) = _of_ours(caught)
    assert "No space left on device" in text
    (tmp_path / "file").write_text("")
    with pytest.warns(UserWarning, match="No checkpoint could be written"):
        _fit(tmp_path / "file" / "run", epochs=1)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(checkpoints, "_write_arrays", full)
        _fit(tmp_path / "strict", on_error="raise")


def test_keep_best(tmp_path):
    class Scores(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = [3.0, 2.0, 1.0, 4.0, 5.0][epoch]

    resumable = training.ResumableTraining(
        tmp_path / "run", keep=1, keep_best="val_loss", keep_every=2, verbose=0
    )
    _model().fit(indexed(), epochs=5, callbacks=[Scores(), resumable], verbose=0)
    report = training.inspect_checkpoint(tmp_path / "run")
    assert {row["epoch"] for row in report.rows} == {3, 2, 4, 5}
    assert report.rows[-1]["finished"]


@pytest.fixture
def _interruptible():
    """Python's own handler, also in a process that was started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_save_and_end(tmp_path, number):
    class Signal(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    ends = SystemExit if number == signal.SIGTERM else KeyboardInterrupt
    with pytest.raises(ends) as caught:
        _fit(tmp_path / "run", Signal())
    if ends is SystemExit:
        assert caught.value.code == 143
    assert signal.getsignal(number) is before
    (row,) = training.inspect_checkpoint(tmp_path / "run").rows
    assert (row["epoch"], row["step"]) == (0, 4)


@pytest.mark.usefixtures("_interruptible")
def test_signals_after_a_fit_that_raised(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interruption):
        _fit(tmp_path / "run", InterruptAt(2))
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_two_processes_on_one_directory(tmp_path):
    holder = (
        "import fcntl, json, os, sys, time\n"
        "file = open(sys.argv[1], 'a+b')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(json.dumps({'pid': os.getpid(), 'host': 'here'}).encode())\n"
        "file.flush()\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", holder, str(tmp_path / "run" / "lock.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline()
        with pytest.raises(RuntimeError, match=f"process {process.pid} on here"):
            _fit(tmp_path / "run", epochs=1)
        _fit(tmp_path / "run", epochs=1, take_over=True)
        process.kill()


def test_an_unknown_length_needs_epochs(tmp_path):
    class Endless(keras.utils.PyDataset):
        num_batches = None

        def __getitem__(self, index):
            return tuple(a[:BATCH] for a in arrays())

    resumable = training.ResumableTraining(tmp_path, save_freq=2, verbose=0)
    options = {"callbacks": [resumable], "shuffle": False, "verbose": 0}
    with pytest.raises(ValueError, match="data of unknown length"):
        _model().fit(Endless(), **options)


def test_a_report_shows_what_is_there(ended):
    folder, model, history, _ = ended
    report = training.inspect_checkpoint(folder)
    assert [row["epoch"] for row in report.rows] == [2, 3, 3]
    assert report.rows[-1]["iterations"] == EPOCHS * STEPS
    paths = [v["path"] for v in report.variables if v["group"] == "model"]
    assert paths == [v.path for v in model.variables]
    states = {entry["class"]: entry["state"] for entry in report.callbacks}
    assert states["History"]["history"] == history.history
    assert report.logs["loss"] == history.history["loss"][-1]
    assert "checkpoint-00000004" in report.table()
    one = training.inspect_checkpoint(folder / "checkpoint-00000003")
    assert [row["name"] for row in one.rows] == ["checkpoint-00000003"]
    with pytest.raises(FileNotFoundError, match="checkpoint of ResumableTraining"):
        training.inspect_checkpoint(folder / "none")


class _LikeBackup(training.ResumableTraining):
    """With the arguments and counters that Keras's tests of its own class look at."""

    def __init__(self, backup_dir, save_freq="epoch", **_):
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError("Invalid value")
        if not backup_dir:
            raise ValueError("Empty `backup_dir` argument passed")
        allow = ("callbacks",)  # without the one that interrupts
        super().__init__(backup_dir, save_freq, allow=allow, verbose=0)

    def on_epoch_end(self, epoch, logs=None):
        self._current_epoch = epoch + 1


@pytest.mark.filterwarnings("ignore:A resumed training may see its data")
@pytest.mark.filterwarnings("ignore:What InterruptingCallback remembers")
@pytest.mark.slow
def test_the_tests_of_backup_and_restore(monkeypatch):
    skip = (
        # These look at files of that class, at a step that is trained twice (a resumed
        # training counts 15 steps, not 17), and at files that are removed at the end.
        "test_backup_corrupted",
        "test_best_case_step",
        "test_model_deleted_case_epoch",
    )
    name = "backup_and_restore_test"
    assert run_keras_suite(monkeypatch, name, "BackupAndRestore", _LikeBackup, skip)
