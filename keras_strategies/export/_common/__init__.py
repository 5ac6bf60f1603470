"""Parts of every export: errors, arguments, sample data, signatures of models.

Other rooms import these names from here, and the modules `model_signature`,
`model_transfer`, `named_arrays` and `sample_data` as they are.
"""

from keras_strategies.export._common.argument_checks import (
    validate_model,
    validate_path,
    validate_time_limit,
)
from keras_strategies.export._common.error_text import exception_text, shorten
from keras_strategies.export._common.export_error import ExportError, Reason
from keras_strategies.export._common.named_arrays import NamedArrays
from keras_strategies.export._common.result_bases import DataclassReport, FiguresReport
from keras_strategies.export._common.sample_data import InputData

__all__ = [
    "DataclassReport",
    "ExportError",
    "FiguresReport",
    "InputData",
    "NamedArrays",
    "Reason",
    "exception_text",
    "shorten",
    "validate_model",
    "validate_path",
    "validate_time_limit",
]
