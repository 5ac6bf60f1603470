"""Error of an export that was refused or could not be done."""

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

Reason: TypeAlias = Literal[
    "reference",
    "load",
    "metadata",
    "trace",
    "conversion",
    "flex",
    "crash",
    "timeout",
    "run",
    "non-finite",
    "disagreement",
    "operations",
]


class ExportError(RuntimeError):
    """Says why a model was not exported and what to do about it.

    Raised by `export.to_tflite` after the arguments have been found in order. The
    target file is then as it was before the call. Wrong arguments raise
    `ValueError`, `TypeError` or `OSError` instead.

    Args:
        message: What happened and the way out.
        reason: What went wrong, one word for programs:
            `"reference"` (the Keras model itself gives NaN or infinity),
            `"load"` (the worker cannot load the model, or a `.tflite` file cannot be
            opened), `"metadata"` (the file's metadata cannot be read or written),
            `"trace"` (the model cannot be traced), `"conversion"` (the converter
            refused), `"flex"` (operations that LiteRT does not have), `"crash"` (the
            worker died), `"timeout"`, `"run"` (the interpreter cannot run the
            artifact), `"non-finite"` (the artifact gives NaN or infinity),
            `"disagreement"` or `"operations"` (a microcontroller's interpreter lacks
            some). Defaults to `"conversion"`.
        details: Dict of figures behind the message, for example `{"ops": [...]}`.
            Defaults to `None`, an empty dict.

    Example:

    ```python
    from keras_strategies import export

    try:
        raise export.ExportError("no such operation", reason="flex")
    except RuntimeError as error:
        print(error.reason)  # flex
    ```
    """

    def __init__(
        self,
        message: str,
        reason: Reason = "conversion",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.details: dict[str, Any] = dict(details or {})
