"""Quantization by litert-quantizer: each operation in a mode of its own (worker)."""

import collections
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from keras_strategies.export._calibration import layer_names, range_collection
from keras_strategies.export._common import named_arrays

# Modes whose activations are integers with ranges from representative data.
STATIC_MODES = ("int8", "int16x8")


def plan_modes(
    model: Any, layers: Mapping[str, str], rules: Sequence[tuple[str, str]]
) -> tuple[dict[str, set[str]], list[int], list[str]]:
    """Returns `{mode: set of operation scopes}` and the modes used in loops.

    Args:
        model: The float flatbuffer as an object.
        layers: `{path: class name}` of the trace.
        rules: List of `(regex, mode)`; the first whose regex is found in the path
            of a layer of the operation decides, without the model's own name.
            Operations without a match stay in float32.

    Returns:
        `(scopes, matched, loops)`: `scopes` as above, `matched` the number of
        operations for each rule, and `loops` the layers whose loop bodies get
        `"dynamic"` in place of a static mode: LiteRT cannot run a loop whose state
        changes its type.
    """
    from litert_quantizer.utils import tfl_flatbuffer_utils

    scopes, matched, loops = collections.defaultdict(set), [0] * len(rules), set()
    for number, (graph, owners) in enumerate(
        zip(
            model.subgraphs,
            layer_names.layers_of_operations(model, layers),
            strict=True,
        )
    ):
        for op, paths in zip(graph.operators or (), owners, strict=True):
            mode = _first_matching_mode(paths, rules, matched)
            # Graphs after the first are bodies of loops and branches.
            if number and mode in STATIC_MODES:
                mode = "dynamic"
                loops.update(layer_names.path_in_model(path) for path in paths[:1])
            if mode != "float32":
                scope = tfl_flatbuffer_utils.get_op_scope(op, graph.tensors)
                scopes[mode].add(scope)
    return dict(scopes), matched, sorted(loops)


def list_layers(float_artifact: str, layers: Mapping[str, str]) -> list[str]:
    """Returns the paths of the layers that have operations with weights."""
    from litert_quantizer.utils import tfl_flatbuffer_utils

    model = tfl_flatbuffer_utils.read_model(pathlib.Path(float_artifact).read_bytes())
    owners = layer_names.layers_of_operations(model, layers)[0]
    names = [layer_names.path_in_model(paths[0]) for paths in owners if paths]
    return list(dict.fromkeys(names))


def _first_matching_mode(paths, rules, matched):
    names = [layer_names.path_in_model(path) for path in paths] or [""]
    for index, (regex, mode) in enumerate(rules):
        if any(re.search(regex, name) for name in names):
            matched[index] += 1
            return mode
    return "float32"


def _configure(quantizer, mode, pattern):
    from litert_quantizer import qtyping
    from litert_quantizer.algorithm_manager import AlgorithmName

    all_ops = qtyping.TFLOperationName.ALL_SUPPORTED
    if mode == "dynamic":
        quantizer.add_dynamic_config(pattern, all_ops, num_bits=8)
    elif mode == "int4_weights":
        # Embeddings and convolutions too; operations without 4 bits use 8.
        quantizer.add_weight_only_config(pattern, all_ops, num_bits=4)
    elif mode == "float16":
        cast = AlgorithmName.FLOAT_CASTING
        quantizer.add_weight_only_config(
            pattern, all_ops, num_bits=16, algorithm_key=cast
        )
    else:
        quantizer.add_static_config(
            pattern,
            all_ops,
            activation_num_bits=8 if mode == "int8" else 16,
            weight_num_bits=8,
        )


def quantize(
    float_artifact: str,
    artifact: str,
    layers: Mapping[str, str],
    rules: Sequence[tuple[str, str]],
    ranges: str | None,
    integer_inputs: bool,
    integer_outputs: bool,
) -> dict[str, Any]:
    """Quantizes a float `.tflite` file by rules into `artifact`.

    Args:
        float_artifact: Path of the float32 file.
        artifact: Path to write.
        layers: `{path: class name}` of the trace.
        rules: List of `(regex, mode)`, see `plan_modes`.
        ranges: Path of the calibrated ranges, or None where no mode is static.
        integer_inputs: Inputs have the type of the operation that reads them.
        integer_outputs: The same for outputs.
    """
    from litert_quantizer import qtyping, quantizer
    from litert_quantizer.utils import tfl_flatbuffer_utils

    content = pathlib.Path(float_artifact).read_bytes()
    model = tfl_flatbuffer_utils.read_model(content)
    scopes, matched, loops = plan_modes(model, layers, rules)
    tool = quantizer.Quantizer(content)
    for mode, names in scopes.items():
        # One pattern a mode: a pattern an operation would be compiled for each pair.
        _configure(tool, mode, f"^(?:{'|'.join(map(re.escape, sorted(names)))})$")
    for is_integer, operation in (
        (integer_inputs, qtyping.TFLOperationName.INPUT),
        (integer_outputs, qtyping.TFLOperationName.OUTPUT),
    ):
        if not is_integer:
            tool.update_quantization_recipe(".*", operation, None, "no_quantize")
    statistics = {}
    if ranges is not None:
        # These replace the quantizer's own calibration, whose average of minima and
        # maxima clips.
        statistics = range_collection.as_qsv(named_arrays.load(ranges))
    result = tool.quantize(statistics) if scopes else None
    quantized = content if result is None else bytes(result.quantized_model)
    pathlib.Path(artifact).write_bytes(quantized)
    return {"matched": matched, "loops": loops}
