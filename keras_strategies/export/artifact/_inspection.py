"""Contents of a `.tflite` file that is not run, as JSON-ready values."""

import gzip
import os
from typing import Any

from keras_strategies.export.artifact import (
    _contents,
    _delegates,
    _flatbuffer,
    _metadata,
    _opening,
)


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns the contents of a file, also of one that cannot be run here."""
    path, content = _opening.read_file(path)
    model = _opening.parse(content, path)
    description = _flatbuffer.describe(model)
    return {
        "path": path,
        "bytes": len(content),
        "gzipped_bytes": len(gzip.compress(content, mtime=0)),
        "signatures": _flatbuffer.signatures(model),
        "ops": description["ops"],
        "flex_ops": _flatbuffer.flex_ops(description["ops"]),
        "delegates": _delegates.unlisted_ops(description["ops"]),
        "tensor_types": description["tensor_types"],
        "sparsity": _contents.measure_sparsity(model),
        "metadata": _metadata.read(content),
    }
