"""Convolution-aware initialization: filters orthogonal in the frequency domain."""

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.initializers._kernels import check_kernel, fan_in


def inverse_real_dft(sides: Sequence[int]) -> np.ndarray:
    """Returns the matrix that maps real coefficients of half the spectrum to a kernel.

    Row `f` is the inverse real Fourier transform, over all axes, of a one at
    frequency `f`.
    """
    spectrum = np.fft.rfftn(np.zeros(sides)).shape
    units = np.eye(math.prod(spectrum)).reshape(-1, *spectrum)
    axes = tuple(range(1, len(sides) + 1))
    waves = np.fft.irfftn(units, s=sides, axes=axes)
    return waves.reshape(len(units), -1)


def orthogonal_rows(normal: Tensor, count: int) -> Tensor:
    """Returns `count` rows, orthonormal in blocks of their length.

    `normal` has square matrices of standard normal numbers in its last two axes.
    """
    q, r = ops.qr(normal)
    # With these signs the matrices are Haar distributed (Mezzadri, 2007).
    signs = ops.where(ops.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)
    rows = ops.swapaxes(q * signs[..., None, :], -1, -2)
    return ops.reshape(rows, (rows.shape[0], -1, rows.shape[-1]))[:, :count]


@serializable
class ConvolutionAware(bases.Initializer):
    """Initializes filters orthogonally in the frequency domain.

    Orthogonal initialization makes filters differ as vectors, but a convolution is
    characterized by the frequencies that its filters pass. This initializer draws, for
    each filter, orthogonal coefficients in the frequency domain for its input channels
    and transforms them back, so that the filter extracts different frequencies from
    each channel. It improved accuracy on image tasks in the paper; Keras had it in
    keras-contrib.

    ```
    kernel[:, i, o] = scale * (irfft(Q_o[i]) + noise)
    scale:  the variance of the kernel is 2 / fan_in
    ```

    with `Q_o` a random orthogonal matrix over the frequencies of the kernel, drawn
    for each filter `o` (another for each block of channels if there are more channels
    than frequencies), `irfft` the inverse real Fourier transform and `noise` normal. As
    the coefficients are real, only the noise makes a kernel differ from its reflection
    at the first position. Kernels of size 1, which have no frequencies, are orthogonal
    in the usual sense, with this variance.

    Reference:

    - [Aghajanyan, 2017, Convolution Aware
      Initialization](https://arxiv.org/abs/1702.06295)

    Args:
        stddev: Standard deviation of the noise, at least 0. Defaults to `0.05`.
        seed: Integer, or a `keras.random.SeedGenerator` for new numbers at each
            call. Defaults to `None`, a random integer.

    Raises:
        TypeError: If `stddev` is no number.
        ValueError: If `stddev` is out of its range or, when called, if the shape is
            not that of a convolution.

    Example:

    ```python
    import keras
    from keras_strategies.initializers import ConvolutionAware

    layer = keras.layers.Conv2D(32, 3, kernel_initializer=ConvolutionAware())
    layer.build((None, 8, 8, 16))
    kernel = keras.ops.convert_to_numpy(layer.kernel)
    print(kernel.var())  # 2 / (3 * 3 * 16) = 0.0139
    ```
    """

    def __init__(
        self, stddev: float = 0.05, seed: int | keras.random.SeedGenerator | None = None
    ) -> None:
        self.stddev: float = checks.real("stddev", stddev, low=0)
        self._normal = keras.initializers.RandomNormal(stddev=1.0, seed=seed)

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        inputs, filters = check_kernel(shape)
        sides = tuple(int(side) for side in shape[:-2])
        if math.prod(sides) == 1:
            orthogonal = keras.initializers.Orthogonal(seed=self._normal.seed)
            kernel = orthogonal(shape, dtype="float32")
        else:
            kernel = self._in_frequencies(sides, inputs, filters)
        variance = ops.var(kernel)
        kernel = kernel * ops.sqrt(2.0 / fan_in(shape) / variance)
        return ops.cast(kernel, dtype or keras.config.floatx())

    def _in_frequencies(
        self, sides: Sequence[int], inputs: int, filters: int
    ) -> Tensor:
        waves = inverse_real_dft(sides)
        size, positions = waves.shape
        blocks = -(-inputs // size)
        num_coefficients = filters * blocks * size * size
        # One draw for all: an integer seed would give the same numbers twice.
        numbers = self._normal(
            (num_coefficients + filters * inputs * positions,), "float32"
        )
        normal = ops.reshape(numbers[:num_coefficients], (filters * blocks, size, size))
        rows = orthogonal_rows(normal, size)
        rows = ops.reshape(rows, (filters, blocks * size, size))[:, :inputs]
        noise = ops.reshape(numbers[num_coefficients:], (filters, inputs, positions))
        kernel = ops.matmul(rows, ops.cast(waves, "float32")) + self.stddev * noise
        return ops.reshape(ops.transpose(kernel, (2, 1, 0)), (*sides, inputs, filters))

    def get_config(self) -> Config:
        return {"stddev": self.stddev, "seed": self._normal.get_config()["seed"]}
