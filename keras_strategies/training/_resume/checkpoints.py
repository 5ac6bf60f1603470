"""Files of a checkpoint: written with their checksums, read only if these are right.

    checkpoint-00000012/
        arrays.npz       every array, as NumPy writes them
        state.json       everything else, with references to the arrays
        model.json       the architecture, if it can be written, for `export`
        manifest.json    format, name, and size and checksum of each file; written last

A checksum of our own is needed: the ZIP format of `.npz` does not notice about a third
of all flipped bits, those in its headers. The manifest has one of itself and the name
of its folder, so that files of two checkpoints that were swapped are noticed too.
"""

import dataclasses
import hashlib
import json
import secrets
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from keras_strategies._internal.storage import files
from keras_strategies.training._resume.storage import (
    MANIFEST,
    PREFIX,
    Storage,
    chunks,
)

FORMAT, VERSION = "keras_strategies.checkpoint", 1
ARRAYS, STATE, MODEL = "arrays.npz", "state.json", "model.json"


class DamagedCheckpoint(Exception):
    """A checkpoint that cannot be trusted, and why."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        name: Name of its folder.
        info: What is known without reading the rest: epoch, step, and so on.
        state: The values of `state.json`.
        arrays: The arrays by their keys.
        model: The architecture as JSON, or `None`.
    """

    name: str
    info: dict[str, Any]
    state: dict[str, Any]
    arrays: dict[str, np.ndarray]
    model: dict[str, Any] | None = None


class _Digest:
    """A stream that is written to only, and counts and sums what is written."""

    def __init__(self, stream: BinaryIO | None = None):
        self._stream, self._hash, self.size = stream, hashlib.blake2b(digest_size=20), 0

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self._hash.update(view)
        self.size += len(view)
        if self._stream is not None:
            self._stream.write(view)
        return len(view)

    def flush(self) -> None:
        """Nothing is kept back."""

    def entry(self) -> dict[str, Any]:
        return {"bytes": self.size, "blake2b": self._hash.hexdigest()}


def file_name(sequence: int) -> str:
    """Returns the name of the checkpoint with this number."""
    return f"{PREFIX}{sequence:08d}"


def sequence_of(name: str) -> int:
    """Returns the number in the name of a checkpoint, -1 for other names."""
    text = name.removeprefix(PREFIX)
    return int(text) if text.isdecimal() else -1


def write(storage: Storage, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint, all of it or nothing."""
    entries: dict[str, Any] = {}

    def summed(name, write_content):
        def run(stream):
            digest = _Digest(stream)
            write_content(digest)
            entries[name] = digest.entry()

        return run

    def manifest(stream):
        stream.write(_manifest(checkpoint, entries))

    # The manifest is written last, when `entries` has the sums of all others.
    writers = {
        ARRAYS: summed(ARRAYS, lambda s: _write_arrays(s, checkpoint.arrays)),
        STATE: summed(STATE, lambda s: s.write(_json(checkpoint.state))),
    }
    if checkpoint.model is not None:
        text = _json(checkpoint.model)
        writers[MODEL] = summed(MODEL, lambda s: s.write(text))
    storage.commit(checkpoint.name, {**writers, MANIFEST: manifest})


def _json(value):
    return json.dumps(value, default=files.python_scalar).encode()


def _write_arrays(stream, arrays):
    # As numpy.savez writes it, but to a stream that cannot go back: the archive then
    # has sizes behind the data, which readers find through its directory.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for key, value in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(
                    entry, np.asanyarray(value), allow_pickle=False
                )


def _manifest(checkpoint, entries):
    content = {
        "format": FORMAT,
        "version": VERSION,
        "name": checkpoint.name,
        "id": secrets.token_hex(8),
        "info": checkpoint.info,
        "files": entries,
    }
    return _json({**content, "blake2b": _own_digest(content)})


def _own_digest(content):
    text = json.dumps(content, sort_keys=True, default=files.python_scalar)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def read_info(storage: Storage, name: str) -> dict[str, Any]:
    """Returns `info` of a checkpoint with the sizes of its files, checked by itself.

    Raises:
        DamagedCheckpoint: If the manifest is missing, damaged or another one's.
    """
    manifest = _read_manifest(storage, name)
    return {**manifest["info"], "files": manifest["files"]}


def _read_manifest(storage: Storage, name: str) -> dict[str, Any]:
    try:
        with storage.open(name, MANIFEST) as file:
            manifest = json.loads(file.read())
    except FileNotFoundError as error:
        raise DamagedCheckpoint(f"it has no {MANIFEST}") from error
    except (ValueError, RecursionError) as error:
        raise DamagedCheckpoint(f"its {MANIFEST} is damaged") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise DamagedCheckpoint(f"its {MANIFEST} is not one of this package")
    digest = manifest.pop("blake2b", None)
    if digest != _own_digest(manifest):
        raise DamagedCheckpoint(f"its {MANIFEST} is damaged")
    if manifest["version"] > VERSION:
        raise DamagedCheckpoint(
            f"it is of version {manifest['version']} of the format, and this package "
            f"reads {VERSION}"
        )
    if manifest["name"] != name:
        raise DamagedCheckpoint(f"its {MANIFEST} is that of {manifest['name']}")
    return manifest


def verify(storage: Storage, name: str) -> dict[str, Any]:
    """Checks every byte of a checkpoint; returns its manifest.

    Raises:
        DamagedCheckpoint: If a file is missing, shorter, longer or other than it was.
    """
    manifest = _read_manifest(storage, name)
    for file, expected in manifest["files"].items():
        digest = _Digest()
        try:
            with storage.open(name, file) as stream:
                for piece in chunks(stream):
                    digest.write(piece)
        except FileNotFoundError as error:
            raise DamagedCheckpoint(f"its {file} is missing") from error
        if digest.entry() != expected:
            raise DamagedCheckpoint(
                f"its {file} is damaged ({digest.size:,} of {expected['bytes']:,} "
                "bytes)"
            )
    return manifest


def read(storage: Storage, name: str) -> Checkpoint:
    """Returns a checkpoint whose every byte is as it was written.

    Raises:
        DamagedCheckpoint: If it is not.
    """
    manifest = verify(storage, name)
    content = {}
    for file in manifest["files"]:
        if file != ARRAYS:
            with storage.open(name, file) as stream:
                content[file] = json.loads(stream.read())
    with storage.open(name, ARRAYS) as stream, np.load(stream) as archive:
        arrays = {key: archive[key] for key in archive.files}
    return Checkpoint(
        name, manifest["info"], content[STATE], arrays, content.get(MODEL)
    )


def infos(storage: Storage) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Returns `info` of each checkpoint, and of the others why it cannot be used."""
    good: dict[str, dict[str, Any]] = {}
    damaged: dict[str, str] = {}
    for name in storage.names():
        try:
            good[name] = read_info(storage, name)
        except (DamagedCheckpoint, OSError) as error:
            damaged[name] = str(error)
    return good, damaged


def to_keep(
    known: Mapping[str, Mapping[str, Any]],
    keep: int,
    keep_every: int | None,
    best: str | None,
) -> set[str]:
    """Returns the names that stay: the newest, each `keep_every`-th epoch, the best."""
    names = sorted(known)
    kept = set(names[-keep:])
    if keep_every is not None:
        for name in names:
            info = known[name]
            boundary = info["step"] == 0 and not info["finished"]
            if boundary and info["epoch"] and info["epoch"] % keep_every == 0:
                kept.add(name)
    if best is not None:
        kept.add(best)
    return kept
