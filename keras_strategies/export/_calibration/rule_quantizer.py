"""The worker's side of litert-quantizer: each operation in a mode of its own."""

import collections
import pathlib
import re

from keras_strategies.export._calibration import layer_names, range_collection
from keras_strategies.export._common import named_arrays

# Modes whose activations are integers with ranges from representative data.
STATIC = ("int8", "int16x8")


def plan(model, layers, rules):
    """Returns `{mode: set of operation scopes}` and the modes taken in loops.

    Args:
        model: The float flatbuffer as an object.
        layers: `{path: class name}` of the trace.
        rules: List of `(regex, mode)`; the first whose regex is found in the path
            of a layer of the operation decides, without the model's own name.
            Operations without a match stay in float32.

    Returns:
        `(scopes, matched, loops)`: `scopes` as said, `matched` the number of
        operations for each rule, and `loops` the layers whose loop bodies take
        `"dynamic"` in place of a static mode: LiteRT cannot run a loop whose state
        changes its type.
    """
    from litert_quantizer.utils import tfl_flatbuffer_utils

    scopes, matched, loops = collections.defaultdict(set), [0] * len(rules), set()
    for number, (graph, owners) in enumerate(
        zip(model.subgraphs, layer_names.owners(model, layers), strict=True)
    ):
        for op, paths in zip(graph.operators or (), owners, strict=True):
            mode = _mode(paths, rules, matched)
            if number and mode in STATIC:
                mode = "dynamic"
                loops.update(path.partition("/")[2] or path for path in paths[:1])
            if mode != "float32":
                scope = tfl_flatbuffer_utils.get_op_scope(op, graph.tensors)
                scopes[mode].add(scope)
    return dict(scopes), matched, sorted(loops)


def layers(float_artifact, layers):
    """Returns the paths of the layers that have operations with weights."""
    from litert_quantizer.utils import tfl_flatbuffer_utils

    model = tfl_flatbuffer_utils.read_model(pathlib.Path(float_artifact).read_bytes())
    found = {}
    for paths in layer_names.owners(model, layers)[0]:
        if paths:
            found[paths[0].partition("/")[2] or paths[0]] = None
    return list(found)


def _mode(paths, rules, matched):
    names = [path.partition("/")[2] or path for path in paths] or [""]
    for index, (regex, mode) in enumerate(rules):
        if any(re.search(regex, name) for name in names):
            matched[index] += 1
            return mode
    return "float32"


def _configure(quantizer, mode, pattern):
    from litert_quantizer import qtyping
    from litert_quantizer.algorithm_manager import AlgorithmName

    every = qtyping.TFLOperationName.ALL_SUPPORTED
    if mode == "dynamic":
        quantizer.add_dynamic_config(pattern, every, num_bits=8)
    elif mode == "int4_weights":
        # Embeddings and convolutions too; what knows no 4 bits takes 8.
        quantizer.add_weight_only_config(pattern, every, num_bits=4)
    elif mode == "float16":
        cast = AlgorithmName.FLOAT_CASTING
        quantizer.add_weight_only_config(
            pattern, every, num_bits=16, algorithm_key=cast
        )
    else:
        quantizer.add_static_config(
            pattern,
            every,
            activation_num_bits=8 if mode == "int8" else 16,
            weight_num_bits=8,
        )


def quantize(
    float_artifact, artifact, layers, rules, ranges, integer_inputs, integer_outputs
):
    """Quantizes a float `.tflite` file by rules into `artifact`.

    Args:
        float_artifact: Path of the float32 file.
        artifact: Path to write.
        layers: `{path: class name}` of the trace.
        rules: List of `(regex, mode)`, see `plan`.
        ranges: Path of the calibrated ranges, or None where no mode is static.
        integer_inputs: Leave inputs in the type of the operation that reads them.
        integer_outputs: The same for outputs.
    """
    from litert_quantizer import qtyping, quantizer
    from litert_quantizer.utils import tfl_flatbuffer_utils

    content = pathlib.Path(float_artifact).read_bytes()
    model = tfl_flatbuffer_utils.read_model(content)
    scopes, matched, loops = plan(model, layers, rules)
    work = quantizer.Quantizer(content)
    for mode, names in scopes.items():
        # One pattern a mode: a pattern an operation would be compiled for each pair.
        _configure(work, mode, f"^(?:{'|'.join(map(re.escape, sorted(names)))})$")
    never = "no_quantize"
    for kept, operation in (
        (not integer_inputs, qtyping.TFLOperationName.INPUT),
        (not integer_outputs, qtyping.TFLOperationName.OUTPUT),
    ):
        if kept:
            work.update_quantization_recipe(".*", operation, None, never)
    found = {} if ranges is None else range_collection.as_qsv(named_arrays.load(ranges))
    result = work.quantize(found) if scopes else None
    written = content if result is None else bytes(result.quantized_model)
    pathlib.Path(artifact).write_bytes(written)
    return {"matched": matched, "loops": loops}
