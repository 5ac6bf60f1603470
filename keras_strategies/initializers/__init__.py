"""Initializers that Keras does not ship, for any backend.

For the kernels of convolutions: `DeltaOrthogonal` keeps lengths exactly, `Dirac` begins
as the identity, `ConvolutionAware` is orthogonal in the frequencies, `ICNR` starts
sub-pixel convolutions without artifacts. For a whole model that is built: `lsuv_init`
fits its kernels to data, `zero_gamma` makes residual blocks begin as the identity, and
`initialization_report` measures what reaches each layer, forwards and backwards.
"""

from keras_strategies.initializers.convolution_aware import ConvolutionAware
from keras_strategies.initializers.delta_orthogonal import DeltaOrthogonal
from keras_strategies.initializers.dirac import Dirac
from keras_strategies.initializers.icnr import ICNR
from keras_strategies.initializers.initialization_report import (
    InitializationReport,
    initialization_report,
)
from keras_strategies.initializers.lsuv_init import lsuv_init
from keras_strategies.initializers.zero_gamma import zero_gamma

__all__ = [
    "ConvolutionAware",
    "DeltaOrthogonal",
    "Dirac",
    "ICNR",
    "InitializationReport",
    "initialization_report",
    "lsuv_init",
    "zero_gamma",
]
