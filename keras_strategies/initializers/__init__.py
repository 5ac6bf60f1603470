"""Initializers that Keras does not ship, for any backend.

For the kernels of convolutions: `DeltaOrthogonal` keeps lengths exactly, `Dirac` begins
as the identity, `ConvolutionAware` is orthogonal in the frequencies, `ICNR` starts
sub-pixel convolutions without artifacts. For a whole model that is built: `lsuv_init`
fits its kernels to data.
"""

from keras_strategies.initializers.convolution_aware import ConvolutionAware
from keras_strategies.initializers.delta_orthogonal import DeltaOrthogonal
from keras_strategies.initializers.dirac import Dirac
from keras_strategies.initializers.icnr import ICNR
from keras_strategies.initializers.lsuv_init import lsuv_init

__all__ = [
    "ConvolutionAware",
    "DeltaOrthogonal",
    "Dirac",
    "ICNR",
    "lsuv_init",
]
