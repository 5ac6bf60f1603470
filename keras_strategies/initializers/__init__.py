"""Initializers that Keras does not ship, for any backend.

For the kernels of convolutions: `DeltaOrthogonal` preserves norms exactly, `Dirac` is
the identity, `ConvolutionAware` is orthogonal in the frequency domain, `ICNR` prevents
artifacts of sub-pixel convolutions. For a built model: `lsuv_init` scales its kernels
to data, `zero_gamma` makes residual blocks the identity at first, and
`initialization_report` measures activations and gradients of each layer.
"""

from keras_strategies.initializers._initialization_report import (
    InitializationReport,
    initialization_report,
)
from keras_strategies.initializers._lsuv_init import lsuv_init
from keras_strategies.initializers._zero_gamma import zero_gamma
from keras_strategies.initializers.convolution_aware import ConvolutionAware
from keras_strategies.initializers.delta_orthogonal import DeltaOrthogonal
from keras_strategies.initializers.dirac import Dirac
from keras_strategies.initializers.icnr import ICNR

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
