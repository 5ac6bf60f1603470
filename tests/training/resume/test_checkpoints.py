"""Files of checkpoints: whole or not at all, and never trusted when damaged."""

import json
import os
import shutil
import warnings

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_strategies.training._resume import checkpoints
from keras_strategies.training._resume.checkpoints import (
    Checkpoint,
    DamagedCheckpoint,
)
from keras_strategies.training._resume.encoding import decode, encode
from keras_strategies.training._resume.lock import DirectoryLock, LockedDirectory
from keras_strategies.training._resume.storage import (
    LocalStorage,
    RemoteStorage,
    storage_of,
)
from keras_strategies.training._resume.store import CheckpointStore


def _content(sequence, **info):
    arrays = {"model/0": np.arange(30, dtype="float32") + sequence}
    info = {"epoch": sequence, "step": 0, "finished": False, "logs": {}, **info}
    name = checkpoints.file_name(sequence)
    return Checkpoint(name, info, {"a": [sequence]}, arrays, {"layers": []})


def _store(storage, keep=3, keep_every=None, best=None, on_error="raise"):
    store = CheckpointStore(storage, keep, keep_every, best, on_error, False, False)
    store.open()
    return store


def _save(store, epoch, **info):
    content = _content(epoch, **info)
    store.save(content.info, content.state, content.arrays, content.model, wait=True)


@pytest.fixture(params=["folder", "file", "memory"])
def storage(request, tmp_path):
    if request.param == "folder":
        yield LocalStorage(tmp_path / "run")
        return
    pytest.importorskip("fsspec")
    url = f"file://{tmp_path}/run" if request.param == "file" else "memory://run"
    remote = storage_of(url)
    yield remote
    if remote.filesystem.exists(remote.root):
        remote.filesystem.rm(remote.root, recursive=True)


_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
_values = st.recursive(
    _scalars
    | hnp.arrays(
        st.sampled_from(["f4", "f8", "u4", "i8", "?", "c8", "S3"]),
        hnp.array_shapes(min_dims=0, min_side=0),
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(_values)
def test_values_come_back_as_they_were(value):
    arrays = {}
    text = json.dumps(encode(value, arrays, "value"))
    again = decode(json.loads(text), arrays)
    assert _plain(again) == _plain(value)


def _plain(value):
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [_plain(entry) for entry in value]
    return repr(value)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn"])
def test_types_that_numpy_does_not_write(tmp_path, name):
    value = np.arange(6).reshape(2, 3).T.astype(getattr(ml_dtypes, name))
    arrays = {}
    reference = json.loads(json.dumps(encode(value, arrays, "value")))
    storage = LocalStorage(tmp_path)
    checkpoints.write(storage, Checkpoint("checkpoint-1", {}, {}, arrays))
    again = decode(reference, checkpoints.read(storage, "checkpoint-1").arrays)
    assert again.dtype == value.dtype
    assert again.tobytes() == value.tobytes()


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="`rate/0` must be a plain value"):
        encode([object()], {}, "rate")
    with pytest.raises(TypeError, match="no Python objects"):
        encode(np.array([None]), {}, "rate")


def test_checkpoints_come_back(storage):
    store = _store(storage)
    for epoch in (1, 2):
        _save(store, epoch)
    checkpoint = store.newest()
    assert checkpoint.name == "checkpoint-00000002"
    assert checkpoint.state == {"a": [2]}
    np.testing.assert_array_equal(checkpoint.arrays["model/0"], np.arange(30.0) + 2)
    store.close()


@pytest.mark.slow
def test_two_hundred_saves_leave_what_is_kept(tmp_path):
    storage = LocalStorage(tmp_path)
    store = _store(storage, keep=3, keep_every=50, best=("loss", "min"))
    for epoch in range(1, 201):
        _save(store, epoch, logs={"loss": abs(epoch - 77.2)})
    store.close()
    kept = [int(name[-8:]) for name in storage.names()]
    assert kept == [50, 77, 100, 150, 198, 199, 200]
    assert sorted(os.listdir(tmp_path)) == [*storage.names(), "lock.json"]


def test_keep_best_ignores_nan_and_other_logs(tmp_path):
    store = _store(LocalStorage(tmp_path), keep=1, best=("accuracy", "max"))
    values = [0.5, float("nan"), 0.7, None, 0.6]
    for epoch, value in enumerate(values, 1):
        _save(store, epoch, logs={} if value is None else {"accuracy": value})
    assert [int(n[-8:]) for n in store.storage.names()] == [3, 5]
    store.close()


def _damages():
    for file in ("arrays.npz", "state.json", "model.json", "manifest.json"):
        yield pytest.param(lambda f, n=file: (f / n).unlink(), id=f"no {file}")
        for tenth in range(10):
            yield pytest.param(
                lambda f, n=file, t=tenth: os.truncate(
                    f / n, (f / n).stat().st_size * t // 10
                ),
                id=f"{tenth}/10 of {file}",
            )


@pytest.mark.parametrize("damage", list(_damages()))
def test_a_damaged_one_is_left_out(tmp_path, damage):
    storage = LocalStorage(tmp_path)
    store = _store(storage)
    for epoch in (1, 2):
        _save(store, epoch)
    store.close()
    damage(tmp_path / "checkpoint-00000002")
    store = _store(storage)
    with pytest.warns(UserWarning, match="checkpoint-00000001, as others are damaged"):
        assert store.newest().state == {"a": [1]}
    _save(store, 3)
    assert storage.names()[-1] == "checkpoint-00000003"
    store.close()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_flipped_bit_is_noticed(tmp_path_factory, data):
    storage = LocalStorage(tmp_path_factory.mktemp("run"))
    checkpoints.write(storage, _content(1))
    folder = storage.directory / "checkpoint-00000001"
    path = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(path.read_bytes())
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpoint):
        checkpoints.read(storage, folder.name)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "file", ["arrays.npz", "state.json", "model.json", "manifest.json"]
)
def test_files_of_two_that_were_swapped(tmp_path, file):
    storage = LocalStorage(tmp_path)
    for sequence in (1, 2):
        checkpoints.write(storage, _content(sequence))
    one, two = (tmp_path / name / file for name in storage.names())
    text = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(text)
    if file == "model.json":  # both are the same
        assert checkpoints.read(storage, storage.names()[0])
        return
    for name in storage.names():
        with pytest.raises(DamagedCheckpoint):
            checkpoints.read(storage, name)


def test_a_foreign_folder_and_a_renamed_checkpoint(tmp_path):
    storage = LocalStorage(tmp_path)
    checkpoints.write(storage, _content(1))
    shutil.copytree(tmp_path / "checkpoint-00000001", tmp_path / "checkpoint-00000002")
    (tmp_path / "checkpoint-00000003").mkdir()
    (tmp_path / "checkpoint-00000003" / "manifest.json").write_text('{"a": 1}')
    good, damaged = checkpoints.infos(storage)
    assert list(good) == ["checkpoint-00000001"]
    assert "is that of checkpoint-00000001" in damaged["checkpoint-00000002"]
    assert "not one of this package" in damaged["checkpoint-00000003"]


def test_only_damaged_ones_are_an_error(tmp_path):
    storage = LocalStorage(tmp_path)
    checkpoints.write(storage, _content(1))
    (tmp_path / "checkpoint-00000001" / "state.json").write_text("")
    store = _store(storage)
    with pytest.raises(RuntimeError, match="No checkpoint can be used .*state.json"):
        store.newest()
    store.close()


def test_a_later_format_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "VERSION", 2)
    checkpoints.write(LocalStorage(tmp_path), _content(1))
    monkeypatch.undo()
    with pytest.raises(DamagedCheckpoint, match="version 2 of the format"):
        checkpoints.read(LocalStorage(tmp_path), "checkpoint-00000001")


def test_what_a_killed_process_left_is_removed(storage):
    store = _store(storage)
    _save(store, 1)
    store.close()
    if isinstance(storage, RemoteStorage):
        storage.filesystem.makedirs(storage.path("checkpoint-00000002"))
        storage.filesystem.pipe(storage.path("checkpoint-00000002", "x"), b"1")
    else:
        (storage.directory / ".checkpoint-00000002.17.tmp").mkdir()
    storage.prepare()
    assert storage.names() == ["checkpoint-00000001"]
    if isinstance(storage, LocalStorage):
        assert not list(storage.directory.glob(".*"))


def test_a_failed_write_leaves_the_others_and_warns_once(storage, monkeypatch):
    store = _store(storage, on_error="warn")
    _save(store, 1)

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "_write_arrays", full)
    with pytest.warns(UserWarning, match="No space left .* checkpoint-00000001 stays"):
        _save(store, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _save(store, 3)
    assert storage.names() == ["checkpoint-00000001"]
    monkeypatch.undo()
    _save(store, 4)
    assert store.newest().state == {"a": [4]}
    store.close()


def test_a_lock_names_its_owner(tmp_path):
    storage = LocalStorage(tmp_path)
    first, second = DirectoryLock(storage), DirectoryLock(storage)
    first.acquire()
    with pytest.raises(LockedDirectory, match=f"process {os.getpid()} on .*take_over"):
        second.acquire()
    usurper = DirectoryLock(storage, take_over=True)
    usurper.acquire()
    with pytest.raises(LockedDirectory):
        first.check()
    usurper.check()
    usurper.release()
    first.release()


def test_a_remote_lock_of_a_process_that_is_gone(tmp_path):
    pytest.importorskip("fsspec")
    storage = storage_of("memory://locked")
    storage.prepare()
    lock = DirectoryLock(storage)
    owner = {**json.loads(lock._description()), "pid": 2**22 + 1}
    storage.filesystem.pipe(storage.path("lock.json"), json.dumps(owner).encode())
    lock.acquire()
    lock.release()
    assert not storage.filesystem.exists(storage.path("lock.json"))
    owner["host"] = "elsewhere"
    storage.filesystem.pipe(storage.path("lock.json"), json.dumps(owner).encode())
    with pytest.raises(LockedDirectory, match="on elsewhere"):
        DirectoryLock(storage).acquire()
    taken = DirectoryLock(storage, take_over=True)
    taken.acquire()
    taken.check()
    taken.release()
