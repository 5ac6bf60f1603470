"""Standard metadata of a `.tflite` file, as MediaPipe Tasks reads them.

A flatbuffer `ModelMetadata` in the entry `TFLITE_METADATA`, with one description for
each input and output of the file's first graph. Label and calibration files that it
names are packed behind the model as an archive without compression.

Schema, whose field numbers are those below:
https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/metadata/metadata_schema.fbs
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_strategies.export._common import ExportError

ENTRY = "TFLITE_METADATA"
IDENTIFIER = b"M001"
TRANSFORMATIONS = ("identity", "log", "inverse_logistic")  # by their numbers
ACTIVATIONS = ("none", "sigmoid", "softmax")  # of masks, by their numbers

_PARSER_VERSION = "1.5.0"  # which has custom metadata
_LABELS, _CALIBRATION = 2, 4  # AssociatedFileType
_FEATURES, _IMAGE = 1, 2  # ContentProperties
_COLORS = {3: 1, 1: 2}  # channels: ColorSpaceType RGB, GRAYSCALE
_NORMALIZATION_UNIT, _CALIBRATION_UNIT, _THRESHOLD_UNIT = 1, 2, 3  # ProcessUnitOptions
_LARGEST_PIXEL = 255.0
_SEGMENTER = "SEGMENTER_METADATA"
_SEGMENTER_IDENTIFIER = b"V001"


@dataclasses.dataclass(frozen=True)
class GraphTensor:
    """An input or output of the first graph.

    Attributes:
        name: Its name in the signature, or that of the tensor.
        shape: Sizes, `None` for a free axis.
        dtype: `"float32"`, `"uint8"`, ...
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @property
    def is_image(self) -> bool:
        """Whether it has the shape and the type of a batch of images."""
        is_pixels = self.dtype in ("float32", "uint8", "int8")
        return is_pixels and len(self.shape) == 4 and self.shape[-1] in _COLORS


def first_graph(
    content: bytes, signatures: Sequence[str]
) -> tuple[list[GraphTensor], list[GraphTensor]] | None:
    """Returns the inputs and the outputs of the first graph, in its order.

    `None` if that graph does not infer: a reader would run the wrong one.

    Args:
        content: A `.tflite` file.
        signatures: Names of the signatures that infer.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        model = schema.Model.GetRootAs(content)
        graph = model.Subgraphs(0)
        named: dict[int, str] = {}
        definitions = [
            model.SignatureDefs(i) for i in range(model.SignatureDefsLength())
        ]
        keys = [definition.SignatureKey().decode() for definition in definitions]
        for key, definition in zip(keys, definitions, strict=True):
            if definition.SubgraphIndex() != 0:
                continue
            if len(keys) > 1 and key not in signatures:
                return None
            for role in ("Inputs", "Outputs"):
                for index in range(getattr(definition, f"{role}Length")()):
                    item = getattr(definition, role)(index)
                    named[item.TensorIndex()] = item.Name().decode()
        inputs = [
            _tensor(graph, graph.Inputs(i), named) for i in range(graph.InputsLength())
        ]
        outputs = [
            _tensor(graph, graph.Outputs(i), named)
            for i in range(graph.OutputsLength())
        ]
    except Exception as error:  # the generated reader checks nothing
        message = "This is no intact .tflite file: its graph cannot be read."
        raise ExportError(message, "load") from error
    return inputs, outputs


def _tensor(graph, index, named):
    from ai_edge_litert.tools import flatbuffer_utils

    tensor = graph.Tensors(index)
    has_free_axes = tensor.ShapeSignatureLength() > 0
    sizes = [
        int(tensor.ShapeSignature(i) if has_free_axes else tensor.Shape(i))
        for i in range(tensor.ShapeLength())
    ]
    name = named.get(index) or (tensor.Name() or b"").decode()
    shape = tuple(None if size < 0 else size for size in sizes)
    return GraphTensor(
        name, shape, flatbuffer_utils.type_to_name(tensor.Type()).lower()
    )


def associated_files(
    metadata: Mapping[str, Any], outputs: Sequence[GraphTensor]
) -> dict[str, bytes]:
    """Returns the files that `metadata` need behind the model, by name."""
    files = {}
    for tensor in outputs:
        labels = _labels(metadata, tensor, outputs)
        if labels:
            files[_file_name("labels", tensor)] = ("\n".join(labels) + "\n").encode()
        calibration = _of_output(
            metadata.get("score_calibration"), tensor, "parameters"
        )
        if calibration:
            lines = _calibration_lines(calibration["parameters"], tensor)
            files[_file_name("score_calibration", tensor)] = lines.encode()
    return files


def build(
    metadata: Mapping[str, Any],
    inputs: Sequence[GraphTensor],
    outputs: Sequence[GraphTensor],
    raw_inputs: Sequence[str] = (),
) -> bytes:
    """Returns the flatbuffer `ModelMetadata`.

    Args:
        metadata: As `_metadata.validate` returns it.
        inputs: The inputs of the first graph.
        outputs: Its outputs.
        raw_inputs: Names of inputs that take pixels from 0 to 255, as the model scales
            them itself.
    """
    buffer = _Flatbuffer()
    described = [
        _input_table(buffer, metadata, tensor, inputs, raw_inputs) for tensor in inputs
    ]
    results = [_output_table(buffer, metadata, tensor, outputs) for tensor in outputs]
    activation = metadata.get("activation")
    custom = None
    if activation is not None:
        custom = buffer.vector([_segmenter_table(buffer, activation)])
    graph = buffer.table(
        {2: buffer.vector(described), 3: buffer.vector(results), 9: custom}
    )
    texts = {0: "name", 1: "description", 2: "version", 4: "author", 5: "license"}
    fields = {slot: buffer.text(metadata.get(key)) for slot, key in texts.items()}
    fields |= {3: buffer.vector([graph]), 7: buffer.text(_PARSER_VERSION)}
    return buffer.finish(buffer.table(fields), IDENTIFIER)


def normalization_of_pixels(
    values: Mapping[str, Any],
) -> tuple[list[float], list[float]]:
    """Returns `(mean, std)` of `(x - mean) / std` for the package's normalization.

    That is `y = (x * scale + offset - mean) / std`, whose mean is
    `(mean - offset) / scale` and whose deviation is `std / scale`.
    """
    parts = (values.get("mean", 0.0), values.get("std", 1.0))
    parts += (values.get("scale", 1.0), values.get("offset", 0.0))
    mean, std, scale, offset = np.broadcast_arrays(*[np.atleast_1d(x) for x in parts])
    return ((mean - offset) / scale).tolist(), (std / scale).tolist()


def _input_table(buffer, metadata, tensor, inputs, raw_inputs):
    values = metadata.get("normalization")
    if values is None and tensor.name in raw_inputs and tensor.dtype == "float32":
        values = {"mean": 0.0, "std": 1.0}
    if not (tensor.is_image or not any(entry.is_image for entry in inputs)):
        values = None  # the normalization is that of the images
    units, stats = None, None
    if values is not None:
        mean, std = normalization_of_pixels(values)
        options = buffer.table({0: buffer.floats(mean), 1: buffer.floats(std)})
        units = buffer.vector(
            [buffer.table({0: ("Uint8", _NORMALIZATION_UNIT), 1: options})]
        )
        if tensor.is_image and tensor.dtype == "float32":
            ends = [
                [(x - m) / s for m, s in zip(mean, std, strict=True)]
                for x in (_LARGEST_PIXEL, 0.0)
            ]
            stats = buffer.table({0: buffer.floats(ends[0]), 1: buffer.floats(ends[1])})
    content = _content(buffer, _COLORS[tensor.shape[-1]] if tensor.is_image else None)
    return buffer.table({0: buffer.text(tensor.name), 3: content, 4: units, 5: stats})


def _output_table(buffer, metadata, tensor, outputs):
    files, units = [], []
    if _labels(metadata, tensor, outputs):
        files.append(_file_table(buffer, _file_name("labels", tensor), _LABELS))
    calibration = _of_output(metadata.get("score_calibration"), tensor, "parameters")
    if calibration:
        name = _file_name("score_calibration", tensor)
        files.append(_file_table(buffer, name, _CALIBRATION))
        number = TRANSFORMATIONS.index(calibration["transformation"])
        score = calibration["default_score"]
        options = buffer.table({0: ("Int8", number), 1: ("Float32", score)})
        units.append(buffer.table({0: ("Uint8", _CALIBRATION_UNIT), 1: options}))
    threshold = metadata.get("score_threshold")
    if threshold is not None and files:
        options = buffer.table({0: ("Float32", threshold)})
        units.append(buffer.table({0: ("Uint8", _THRESHOLD_UNIT), 1: options}))
    is_mask = len(tensor.shape) == 4 and metadata.get("activation") is not None
    content = _content(buffer, _COLORS[1] if is_mask else None)
    return buffer.table(
        {
            0: buffer.text(tensor.name),
            3: content,
            4: buffer.vector(units),
            6: buffer.vector(files),
        }
    )


def _content(buffer, color):
    """What a tensor holds: an image of the color space, or features."""
    if color is None:
        return buffer.table({0: ("Uint8", _FEATURES), 1: buffer.table({})})
    return buffer.table({0: ("Uint8", _IMAGE), 1: buffer.table({0: ("Int8", color)})})


def _file_table(buffer, name, kind):
    return buffer.table({0: buffer.text(name), 2: ("Int8", kind)})


def _segmenter_table(buffer, activation):
    """What the image segmenter asks for: the activation of its masks."""
    options = _Flatbuffer()
    table = options.table({0: ("Int8", ACTIVATIONS.index(activation))})
    data = options.finish(table, _SEGMENTER_IDENTIFIER)
    return buffer.table({0: buffer.text(_SEGMENTER), 1: buffer.data(data)})


def _labels(metadata, tensor, outputs):
    labels = metadata.get("labels")
    if isinstance(labels, dict):
        labels = labels.get(tensor.name)
    elif len(outputs) > 1:
        labels = None
    # The score of one unit is that of the second class.
    return labels[-1:] if labels and tensor.shape[-1:] == (1,) else labels


def _of_output(values, tensor, key):
    """An entry of one output, or of a dict by output name."""
    return values if not values or key in values else values.get(tensor.name)


def _calibration_lines(parameters, tensor):
    if parameters and not isinstance(parameters[0], list | type(None)):
        parameters = [parameters] * (tensor.shape[-1] or 1)
    rows = [",".join(f"{x:.9g}" for x in row or ()) for row in parameters]
    return "\n".join(rows)  # a last line break would be one more class


def _file_name(stem, tensor):
    return f"{stem}_of_{re.sub(r'[^A-Za-z0-9_.-]+', '_', tensor.name)}.txt"


class _Flatbuffer:
    """Tables of a flatbuffer, whose fields are given by number.

    A field is an offset that this class returned, a pair of a scalar type and a value,
    or `None` where it is absent.
    """

    def __init__(self) -> None:
        import flatbuffers

        self._builder = flatbuffers.Builder(1024)

    def table(self, fields: Mapping[int, Any]) -> int:
        self._builder.StartObject(max(fields, default=-1) + 1)
        for slot, value in fields.items():
            if isinstance(value, tuple):
                kind, number = value
                getattr(self._builder, f"Prepend{kind}Slot")(slot, number, 0)
            elif value is not None:
                self._builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return self._builder.EndObject()

    def text(self, value: str | None) -> int | None:
        return None if value is None else self._builder.CreateString(value)

    def vector(self, offsets: Sequence[int]) -> int | None:
        if not offsets:
            return None
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return self._builder.EndVector()

    def floats(self, values: Sequence[float]) -> int:
        return self._builder.CreateNumpyVector(np.asarray(values, "float32"))

    def data(self, value: bytes) -> int:
        """Bytes that a reader takes for a flatbuffer of their own."""
        self._builder.StartVector(1, len(value), 16)
        for byte in reversed(value):
            self._builder.PrependByte(byte)
        return self._builder.EndVector()

    def finish(self, root: int, identifier: bytes) -> bytes:
        self._builder.Finish(root, file_identifier=identifier)
        return bytes(self._builder.Output())
