"""Everything a `.tflite` file tells without being run, as JSON-ready values."""

import gzip

from keras_strategies.export._worker import sandbox
from keras_strategies.export.artifact import _contents, _flatbuffer, _metadata
from keras_strategies.export.artifact.tflite_model import read_file


def inspect(path):
    """Returns the contents of a file, also of one that cannot be run here."""
    path, content = read_file(path)
    model = sandbox.parse(content, path)
    inside = _flatbuffer.describe(model)
    with _flatbuffer.guarded():
        signatures = _flatbuffer.signatures(model)
    return {
        "path": path,
        "bytes": len(content),
        "gzipped_bytes": len(gzip.compress(content, mtime=0)),
        "signatures": signatures,
        "ops": inside["ops"],
        "flex_ops": _flatbuffer.flex_ops(inside["ops"]),
        "tensor_types": inside["tensor_types"],
        "sparsity": _contents.sparsity(model),
        "metadata": _metadata.read(content),
    }
