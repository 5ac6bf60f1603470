"""C++ source that makes the interpreter of one model, with its operations alone."""

from collections.abc import Sequence

from keras_strategies.export.artifact._micro import micro_ops


def resolver_header(name: str, header: str, ops: Sequence[str], arena: str) -> str:
    """Returns a C++ header with the resolver, the arena and the interpreter.

    Args:
        name: Name of the model's array.
        header: File name of the array's header.
        ops: Names of the model's operations.
        arena: Two words, the bytes of the arena and where they are from.
    """
    size, _, origin = arena.partition(" ")
    guard = f"{name.upper()}_INTERPRETER_H_"
    added = sorted(set(ops))
    lines = "\n".join(
        f"  TF_LITE_ENSURE_STATUS(resolver.{micro_ops.add_method(op)}());"
        for op in added
    )
    return f"""#ifndef {guard}
#define {guard}

#include <cstddef>
#include <cstdint>

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

#include "{header}"

// Bytes of the tensor arena, {origin}.
constexpr size_t {name}_arena_size = {size};

using {name}_resolver = tflite::MicroMutableOpResolver<{len(added)}>;

// The operations of the model, and no others: the rest stays out of the firmware.
inline TfLiteStatus {name}_add_ops({name}_resolver& resolver) {{
{lines}
  return kTfLiteOk;
}}

// The interpreter, ready for Invoke(); nullptr if the arena or an operation is missing.
inline tflite::MicroInterpreter* {name}_interpreter() {{
  alignas(16) static uint8_t arena[{name}_arena_size];
  static {name}_resolver resolver;
  static const TfLiteStatus added = {name}_add_ops(resolver);
  static tflite::MicroInterpreter interpreter(tflite::GetModel({name}), resolver,
                                              arena, {name}_arena_size);
  static const TfLiteStatus status =
      added == kTfLiteOk ? interpreter.AllocateTensors() : added;
  return status == kTfLiteOk ? &interpreter : nullptr;
}}

#endif  // {guard}
"""
