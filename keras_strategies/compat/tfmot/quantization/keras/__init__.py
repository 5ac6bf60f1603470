"""`tfmot.quantization.keras` for Keras 3."""

from keras_strategies.compat.tfmot.quantization._annotate import (
    quantize_annotate_layer,
    quantize_annotate_model,
    quantize_apply,
    quantize_model,
    quantize_scope,
)
from keras_strategies.compat.tfmot.quantization._config import QuantizeConfig
from keras_strategies.compat.tfmot.quantization._ranges import (
    fix_input_output_range,
    remove_input_range,
)
from keras_strategies.compat.tfmot.quantization._schemes import (
    QuantizeLayoutTransform,
    QuantizeRegistry,
    QuantizeScheme,
)
from keras_strategies.compat.tfmot.quantization.keras import (
    collab_opts,
    default_8bit,
    experimental,
    quantizers,
)
from keras_strategies.compression.quantization._quantize_wrapper import QuantizeWrapper

QuantizeWrapperV2 = QuantizeWrapper

__all__ = [
    "QuantizeConfig",
    "QuantizeLayoutTransform",
    "QuantizeRegistry",
    "QuantizeScheme",
    "QuantizeWrapper",
    "QuantizeWrapperV2",
    "collab_opts",
    "default_8bit",
    "experimental",
    "fix_input_output_range",
    "quantize_annotate_layer",
    "quantize_annotate_model",
    "quantize_apply",
    "quantize_model",
    "quantize_scope",
    "quantizers",
    "remove_input_range",
]
