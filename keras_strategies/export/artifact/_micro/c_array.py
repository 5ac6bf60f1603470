"""C source of a `.tflite` file for microcontrollers."""

import keyword
import os
import pathlib
import re

from keras_strategies._internal import checks
from keras_strategies._internal.storage import files
from keras_strategies.export._common import ExportError
from keras_strategies.export.artifact._micro.measure_arena import measure_arena
from keras_strategies.export.artifact._micro.resolver_source import resolver_header
from keras_strategies.export.artifact._standard import metadata_flatbuffer

_SUFFIXES = (".c", ".cc", ".cpp")
# Words of C and C++ that Python does not reserve; a name must be none of them.
_RESERVED = (
    "alignas alignof asm auto bool case catch char const constexpr default delete do "
    "double enum explicit export extern float friend goto inline int long mutable "
    "namespace new operator private protected public register restrict short signed "
    "sizeof static struct switch template this throw typedef typeid typename union "
    "unsigned using virtual void volatile"
)
_BYTES_PER_LINE = 12  # as `xxd -i`


def write_c_array(
    tflite_path: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    interpreter: bool = False,
) -> str:
    """Writes a `.tflite` file as a C array, for devices without a file system.

    LiteRT for Microcontrollers links the model into the firmware. The
    array is that of `xxd -i`, with three additions: `const`, so that the model stays
    in flash, alignment to 16 bytes, which the interpreter requires, and a header with
    an include guard. Source and header are valid C99 and C++11. The files are written
    aside and then renamed.

    Reference: [Build and convert models for
    microcontrollers](https://ai.google.dev/edge/litert/microcontrollers/build_convert).

    Args:
        tflite_path: The `.tflite` file.
        path: The source to write, ending in `.c`, `.cc` or `.cpp`; the header of the
            same stem, ending in `.h`, stands next to it. Defaults to `None`,
            `tflite_path` with the suffix `.cc`.
        name: Name of the array, made a C identifier; the length is `<name>_len`.
            Defaults to `None`, the stem of `path`.
        interpreter: Whether to write `<stem>_interpreter.h` too, for C++11: a
            `MicroMutableOpResolver` with exactly the file's operations, an arena of the
            size that `export.measure_arena` tells, and `<name>_interpreter()`, which
            returns the interpreter ready for `Invoke()`. Defaults to `False`.

    Returns:
        Path of the source, as `str`.

    Raises:
        ValueError, TypeError: An argument is wrong.
        FileNotFoundError: There is no such file or folder.
        ExportError: reason `"load"`: it is no intact `.tflite` file; `"operations"`:
            with `interpreter=True`, it needs operations that LiteRT for
            Microcontrollers does not have.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    export.to_tflite(model, "model.tflite")
    export.write_c_array("model.tflite", name="g_model")  # model.cc, model.h
    ```
    """
    checks.instance("tflite_path", tflite_path, (str, os.PathLike))
    source = pathlib.Path(tflite_path)
    if not source.is_file():
        rule = "`tflite_path` must be an existing .tflite file"
        raise FileNotFoundError(checks.message(rule, {"tflite_path": str(source)}))
    checks.instance("path", path, (str, os.PathLike), optional=True)
    target = source.with_suffix(".cc") if path is None else pathlib.Path(path)
    if target.suffix not in _SUFFIXES:
        fix = "The header is written next to it."
        rule = f"`path` must end in one of {', '.join(_SUFFIXES)}"
        checks.fail(rule, fix=fix, path=str(target))
    if not target.parent.is_dir():
        rule = "The folder of `path` must exist"
        raise FileNotFoundError(checks.message(rule, {"path": str(target)}))
    checks.instance("name", name, str, optional=True)
    name = _identifier(target.stem if name is None else name)
    content = source.read_bytes()
    metadata_flatbuffer.entries(content)  # raises unless it is a .tflite file
    header = target.with_suffix(".h")
    if checks.boolean("interpreter", interpreter):
        text = _interpreter_header(name, header.name, source)
        files.replace(target.with_name(f"{target.stem}_interpreter.h"), text.encode())
    files.replace(header, _header(name).encode())
    files.replace(target, _source(name, header.name, source.name, content))
    return str(target)


def _interpreter_header(name, header, source):
    """C++ source for the interpreter, or a refusal that names the operations."""
    report = measure_arena(source)
    if report.unsupported:
        raise ExportError(
            "LiteRT for Microcontrollers does not have these operations of "
            f"'{source}': {', '.join(report.unsupported)}. Use other layers, or write "
            "the array without `interpreter=True` and add kernels of your own.",
            "operations",
            {"ops": report.unsupported},
        )
    arena = f"{report.arena_bytes} measured with tflite-micro on a 64-bit processor"
    if report.is_estimate:
        arena = f"{report.arena_bytes} an estimate: try it on the device"
    return resolver_header(name, header, list(report.ops), arena)


def _identifier(name):
    """The nearest C identifier: ASCII letters, digits, `_`, no reserved form."""
    text = re.sub(r"[^A-Za-z0-9_]+", "_", name)
    # `_Upper` and double underscores belong to the compiler.
    text = re.sub(r"__+", "_", text).strip("_")
    if not text:
        checks.fail("`name` must have a letter or digit of ASCII", name=name)
    if text[0].isdigit():
        text = f"model_{text}"
    reserved = text in _RESERVED.split() or keyword.iskeyword(text.lower())
    return f"{text}_data" if reserved else text


def _header(name):
    guard = f"{name.upper()}_H_"
    return f"""#ifndef {guard}
#define {guard}

#ifdef __cplusplus
extern "C" {{
#endif

extern const unsigned char {name}[];
extern const unsigned int {name}_len;

#ifdef __cplusplus
}}
#endif

#endif  /* {guard} */
"""


def _source(name, header, origin, content):
    origin = re.sub(r"[^\w.+-]", "_", origin)  # nothing that could end the comment
    head = f"""/* {origin}, {len(content)} bytes. */
#include "{header}"

/* The interpreter reads the model in place and needs it aligned. */
#if defined(__cplusplus)
#define MODEL_ALIGNED alignas(16)
#elif defined(__GNUC__)
#define MODEL_ALIGNED __attribute__((aligned(16)))
#else
#define MODEL_ALIGNED _Alignas(16)
#endif

MODEL_ALIGNED const unsigned char {name}[] = {{
"""
    codes = [f"0x{value:02x}," for value in range(256)]
    lines = []
    for start in range(0, len(content), _BYTES_PER_LINE):
        row = content[start : start + _BYTES_PER_LINE]
        lines.append("    " + " ".join([codes[value] for value in row]))
    tail = f"\n}};\nconst unsigned int {name}_len = {len(content)};\n"
    return (head + "\n".join(lines) + tail).encode()
