"""Metadata entries of a `.tflite` file, added without changing the file itself.

Offsets of a flatbuffer point forward only, so a new root table can be written in
front of an old file and refer to all of its parts. The old file follows byte for
byte: nothing is parsed into objects, no tensor is copied or reinterpreted, and the
new root can be removed again.

Layout of a flatbuffer (https://flatbuffers.dev/internals/, little endian): a table
starts with the signed distance back to its vtable; the vtable has its own size, the
size of the table, and for each field its position in the table, 0 if it is absent.
A field of a table, a vector and a string is an unsigned offset from where it is
stored; a vector has its length in front.

Model table (LiteRT schema 3): 0 version, 1 operator_codes, 2 subgraphs,
3 description, 4 buffers, 5 metadata_buffer, 6 metadata, 7 signature_defs, 8 and
9 external buffers. Metadata table: 0 name, 1 index of its buffer. Buffer table:
0 data, 1 offset and 2 size of data outside the flatbuffer.
"""

import struct
from collections.abc import Collection, Mapping, Sequence

from keras_strategies.export._common import ExportError
from keras_strategies.export.artifact._flatbuffer import IDENTIFIER

_FIELDS = 10
_SUBGRAPHS, _BUFFERS, _METADATA = 2, 4, 6
# Positions in the new head: identifier, vtable, root table.
_VTABLE = 8
_ROOT = _VTABLE + 4 + 2 * _FIELDS  # after the vtable, a multiple of four
# The old file keeps its alignment if it is moved by a multiple of this.
_ALIGNMENT = 64
_MAX_SIZE = 2**31 - 1  # offsets of vtables are signed


def entries(content: bytes) -> dict[str, bytes]:
    """Returns `{metadata name: its bytes}`; raises `ExportError` on garbage."""
    try:
        model = _root(content)
        buffers = _vector(content, model[_BUFFERS])
        return {
            name: _buffer_data(content, buffers[index])
            for name, index in _metadata(content, model)
            if index < len(buffers)
        }
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise _damaged_error(str(error)) from error


def wrap(
    content: bytes, added: Mapping[str, bytes], dropped: Collection[str] = ()
) -> bytes:
    """Returns `content` with the entries of `added`, `{name: bytes}`.

    Entries of the same name are replaced and those in `dropped` left out; others
    stay.
    """
    try:
        return _wrapped(content, added, {*added, *dropped})
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise _damaged_error(str(error)) from error


def unwrap(content: bytes, names: Sequence[str]) -> bytes:
    """Returns the wrapped file if the outermost root table has the last of `names`.

    Args:
        content: A `.tflite` file.
        names: Entries that `wrap` added at once, in their order; earlier ones may be
            missing.
    """
    try:
        model = _root(content)
        named = dict(_metadata(content, model))
        if model["position"] != _ROOT or names[-1] not in named:
            return content
        table = _vector(content, model[_BUFFERS])[named[names[-1]]]
        position = _fields(content, table, 1)[0]
        end = position + 4 + struct.unpack_from("<I", content, position)[0]
        end += -end % _ALIGNMENT
        inner = content[end:]
        # A file that another tool added entries to is left as it is.
        foreign = [at for key, at in _positions(content, model) if key not in names]
        if inner[4:8] != IDENTIFIER or any(at < end for at in foreign):
            return content
        # Only the old file itself has its graphs exactly there.
        is_same = _root(inner)[_SUBGRAPHS] + end == model[_SUBGRAPHS]
        return inner if is_same else content
    except (struct.error, IndexError, UnicodeDecodeError, TypeError, ExportError):
        return content  # written by another tool: nothing to unwrap


def _wrapped(content, added, replaced):
    model = _root(content)
    old_buffers = _vector(content, model[_BUFFERS])
    if any(_is_outside(content, table) for table in old_buffers) or any(
        model[field] is not None for field in (8, 9)
    ):
        raise ExportError(
            "The file keeps tensors outside its flatbuffer (larger than 2 GB): "
            "metadata cannot be added. Export a smaller or quantized model.",
            "metadata",
        )
    preserved = [e for e in _positions(content, model) if e[0] not in replaced]
    num_entries = len(preserved) + len(added)
    # Layout: root, metadata vector, buffers vector, then for each new entry its
    # metadata table, name, buffer table and data.
    metadata_at = _ROOT + 4 + 4 * _FIELDS
    buffers_at = metadata_at + 4 + 4 * num_entries
    cursor = buffers_at + 4 + 4 * (len(old_buffers) + len(added))
    tail, tables = bytearray(), []
    for number, (name, data) in enumerate(added.items()):
        index = len(old_buffers) + number
        tables.append(_append_entry(tail, cursor, name.encode(), data, index))
    shift = cursor + len(tail)
    tail += bytes(-shift % _ALIGNMENT)
    shift += -shift % _ALIGNMENT
    if shift + len(content) > _MAX_SIZE:
        raise ExportError(
            "The file would grow beyond 2 GB, the limit of a flatbuffer: metadata "
            "cannot be added.",
            "metadata",
        )
    entry_tables = [entry[1] + shift for entry in preserved]
    entry_tables += [table[0] for table in tables]
    buffers = [table + shift for table in old_buffers] + [table[1] for table in tables]
    head = _head(content, model, shift, metadata_at, buffers_at)
    head += _pack_vector(metadata_at, entry_tables)
    head += _pack_vector(buffers_at, buffers)
    return b"".join([head, tail, content])


def _head(content, model, shift, metadata_at, buffers_at):
    """The identifier, the vtable and the root table that point into the old file."""
    # Every field is four bytes wide; the fields follow the offset of the vtable.
    positions = [4 + 4 * field for field in range(_FIELDS)]
    new_targets = {_BUFFERS: buffers_at, _METADATA: metadata_at}
    values = [struct.unpack_from("<I", content, model[0])[0] if model[0] else 0]
    for field in range(1, _FIELDS):
        target = new_targets.get(field)
        if target is None and model[field] is not None:
            target = model[field] + shift
        if target is None:
            positions[field] = 0
        values.append(0 if target is None else target - (_ROOT + 4 + 4 * field))
    head = struct.pack("<I", _ROOT) + IDENTIFIER
    head += struct.pack("<HH", 4 + 2 * _FIELDS, 4 + 4 * _FIELDS)
    head += struct.pack(f"<{_FIELDS}H", *positions)
    return head + struct.pack(f"<i{_FIELDS}I", _ROOT - _VTABLE, *values)


def _pack_vector(position, targets):
    """A vector at `position` of offsets to the absolute `targets`."""
    start = position + 4
    offsets = [target - (start + 4 * i) for i, target in enumerate(targets)]
    return struct.pack(f"<{len(targets) + 1}I", len(targets), *offsets)


def _append_entry(tail, base, name, data, index):
    """Appends one entry; returns the positions of its metadata and buffer tables."""

    def here():
        return base + len(tail)

    tail += bytes(-here() % 4)
    # Metadata {name, buffer}: vtable of 8 bytes, table of 12, then the name.
    tail += struct.pack("<HHHH", 8, 12, 4, 8)
    metadata = here()
    tail += struct.pack("<iII", 8, 8, index)
    tail += struct.pack("<I", len(name)) + name + b"\0"
    tail += bytes(-here() % 4)
    # Buffer {data}: vtable of 6 bytes and padding, table of 8, data on 16 bytes.
    tail += struct.pack("<HHHH", 6, 8, 4, 0)
    buffer = here()
    vector = here() + 8
    vector += -(vector + 4) % 16
    tail += struct.pack("<iI", 8, vector - (buffer + 4))
    tail += bytes(vector - here())
    tail += struct.pack("<I", len(data)) + data
    return metadata, buffer


def _root(content):
    if len(content) < 16 or bytes(content[4:8]) != IDENTIFIER:
        raise _damaged_error("the identifier TFL3 is missing")
    position = struct.unpack_from("<I", content, 0)[0]
    fields = _fields(content, position, _FIELDS)
    if fields[_BUFFERS] is None or fields[_SUBGRAPHS] is None:
        raise _damaged_error("it has no graph")
    return fields | {"position": position}


def _fields(content, table, count):
    """`{field: absolute position}`; offsets are followed but for scalar field 0."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    if vtable < 0:
        raise IndexError("a table lies outside the file")
    size = struct.unpack_from("<H", content, vtable)[0]
    positions = dict.fromkeys(range(count))
    for field in range(min(count, (size - 4) // 2)):
        offset = struct.unpack_from("<H", content, vtable + 4 + 2 * field)[0]
        if not offset:
            continue
        position = table + offset
        if not (count == _FIELDS and field == 0):  # all but the model's version
            position += struct.unpack_from("<I", content, position)[0]
        positions[field] = position
    if count == _FIELDS and size > 4 + 2 * _FIELDS:
        raise ExportError(
            "The file is of a newer format than this package knows.", "load"
        )
    return positions


def _vector(content, position):
    """The absolute positions that a vector of offsets holds."""
    if position is None:
        return []
    count = struct.unpack_from("<I", content, position)[0]
    if position + 4 + 4 * count > len(content):
        raise IndexError("a vector lies outside the file")
    start = position + 4
    offsets = struct.unpack_from(f"<{count}I", content, start)
    return [start + 4 * index + offset for index, offset in enumerate(offsets)]


def _positions(content, model):
    """`(name, position of the table)` of every metadata entry."""
    for table in _vector(content, model[_METADATA]):
        name = _fields(content, table, 1)[0]
        yield ("" if name is None else _data_at(content, name).decode(), table)


def _metadata(content, model):
    """`(name, buffer index)` of every metadata entry."""
    for name, table in _positions(content, model):
        vtable = table - struct.unpack_from("<i", content, table)[0]
        offset = 0
        if struct.unpack_from("<H", content, vtable)[0] >= 8:
            offset = struct.unpack_from("<H", content, vtable + 6)[0]
        index = struct.unpack_from("<I", content, table + offset)[0] if offset else 0
        yield name, index


def _buffer_data(content, table):
    position = _fields(content, table, 1)[0]
    return b"" if position is None else _data_at(content, position)


def _data_at(content, position):
    size = struct.unpack_from("<I", content, position)[0]
    if position + 4 + size > len(content):
        raise IndexError("a buffer lies outside the file")
    return bytes(content[position + 4 : position + 4 + size])


def _is_outside(content, table):
    """Whether a buffer has its bytes outside the flatbuffer."""
    vtable = table - struct.unpack_from("<i", content, table)[0]
    if struct.unpack_from("<H", content, vtable)[0] < 8:
        return False
    field = struct.unpack_from("<H", content, vtable + 6)[0]
    # An offset of 0 or 1 is a placeholder and means none.
    return bool(field) and struct.unpack_from("<Q", content, table + field)[0] > 1


def _damaged_error(reason):
    return ExportError(f"This is no intact .tflite file: {reason}.", "load")
