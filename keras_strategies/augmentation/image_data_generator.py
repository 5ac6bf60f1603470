"""Random geometric and color augmentation of images during training."""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.augmentation._generator import arguments
from keras_strategies.augmentation._generator.array_iterator import warn_of_channels
from keras_strategies.augmentation._generator.flows import Flows
from keras_strategies.augmentation._generator.normalization import (
    fit_statistics,
    standardize,
)
from keras_strategies.augmentation._generator.sampling import draw_block, draw_image
from keras_strategies.augmentation._generator.transform import (
    transform_image,
    transform_images,
)

_FILL_MODES = ("constant", "nearest", "reflect", "wrap")


class ImageDataGenerator(Flows):
    """Keras's `ImageDataGenerator` at many times its speed.

    A drop-in replacement for the class that Keras deprecated: the same arguments,
    methods and iterators, so that the import is all that changes in a script. The
    iterators are passed to `model.fit` on every backend; they are
    `keras.utils.PyDataset`s that also have `as_dataset()` (`tf.data`), `preview(n)` (an
    image grid) and endless iteration.

    All geometric operations of an image are multiplied to one matrix

        M = rotation @ shift @ shear @ zoom @ flips

    about the center of the image, and the pixel (x, y) of the result is read at M (x,
    y) of the input, once, by OpenCV. Images of uint8 remain uint8 until they are cast
    into the batch: do not convert them, and use `rescale`. Slices of a batch are
    computed in threads. The augmentation of an image depends only on the seed, the
    epoch and its position in the epoch, not on the number of workers.

    Two defects of Keras's class are fixed: there `height_shift_range` shifts images
    horizontally and `width_shift_range` vertically, and non-square images are rotated
    about a wrong center. A third is caused by Pillow: `brightness_range` turns images
    in [0, 1] black. `keras_compatible=True` restores them. `fill_mode="wrap"` repeats
    an image with its true period.

    Args:
        featurewise_center: Whether to subtract the mean of each channel over the
            data, see `fit`. Defaults to `False`.
        samplewise_center: Whether to subtract the mean of each image. Defaults to
            `False`.
        featurewise_std_normalization: Whether to divide by the deviation of each
            channel over the data, see `fit`. Defaults to `False`.
        samplewise_std_normalization: Whether to divide by the deviation of each
            image. Defaults to `False`.
        zca_whitening: Whether to decorrelate the pixels, see `fit`. Defaults to
            `False`.
        zca_epsilon: Added to the singular values before division. Defaults to `1e-6`.
        rotation_range: Largest angle in degrees, at least 0. Defaults to `0`.
        width_shift_range: Largest shift to the left or right: below 1 a fraction of
            the width, otherwise pixels. An int n draws whole pixels below n, a list
            one of its numbers, with random sign. Defaults to `0`.
        height_shift_range: The same, up or down. Defaults to `0`.
        brightness_range: Pair `(lower, upper)` of factors, at least 0, or `None`.
            Defaults to `None`.
        shear_range: Largest shear angle in degrees, at least 0. Defaults to `0`.
        zoom_range: A number z in [0, 1] for `(1 - z, 1 + z)`, or that pair. Width and
            height are drawn separately; above 1 zooms out. Defaults to `0`.
        channel_shift_range: Largest number added to all channels, within the range
            of the image. Defaults to `0`.
        fill_mode: Extension of the image: `"nearest"`, `"reflect"`, `"wrap"` or
            `"constant"`. Defaults to `"nearest"`.
        cval: Value outside of the image for `"constant"`. Defaults to `0`.
        horizontal_flip: Whether to mirror half of the images left and right. Defaults
            to `False`.
        vertical_flip: Whether to mirror half of the images top and bottom. Defaults to
            `False`.
        rescale: Factor on the augmented image, or `None`. Defaults to `None`.
        preprocessing_function: Called with each augmented image, a float array of
            rank 3, before it is normalized; returns one of the same shape. Defaults to
            `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        validation_split: Fraction of the data, from its start, of
            `subset="validation"`, in [0, 1). Defaults to `0`.
        interpolation_order: 0 for the nearest pixel, 1 for bilinear, 2 to 5 for
            splines, which need SciPy and are slow. Defaults to `1`.
        dtype: Type of the batches. Defaults to Keras's `floatx`.
        probability: Probability that an image is transformed, in [0, 1]; the others are
            only normalized. Defaults to `1`.
        mixup: Alpha of MixUp (Zhang et al., 2018,
            [arXiv:1710.09412](https://arxiv.org/abs/1710.09412)): images and labels
            of a batch are blended in pairs, with a weight from Beta(alpha, alpha). 0.2
            is common, 0 is none. Labels must be floats, such as one-hot. Defaults to
            `0`.
        cutmix: Alpha of CutMix (Yun et al., 2019,
            [arXiv:1905.04899](https://arxiv.org/abs/1905.04899)): a rectangle comes
            from another image. 1 is common, 0 is none. With both, one is drawn for
            each batch. Defaults to `0`.
        threads: Number of threads per batch, at least 1. Defaults to `None`, the
            number of processors.
        keras_compatible: Whether to reproduce the defects of Keras's class. Defaults to
            `False`.

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If an argument is outside its range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.augmentation import ImageDataGenerator

    rng = np.random.default_rng(0)
    x_train = rng.integers(0, 256, (64, 16, 16, 3), dtype="uint8")
    y_train = rng.integers(0, 2, 64)

    datagen = ImageDataGenerator(
        rotation_range=20,
        width_shift_range=0.2,
        height_shift_range=0.2,
        shear_range=0.2,
        zoom_range=0.2,
        horizontal_flip=True,
        fill_mode="nearest",
        rescale=1 / 255,
    )
    datagen.fit(x_train)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    batches = datagen.flow(x_train, y_train, batch_size=32, seed=1)
    model.fit(batches, epochs=2, verbose=0)
    image_grid = batches.preview(9)
    ```
    """

    def __init__(
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: Any = 0.0,
        height_shift_range: Any = 0.0,
        brightness_range: Sequence[float] | None = None,
        shear_range: float = 0.0,
        zoom_range: float | Sequence[float] = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: Literal["constant", "nearest", "reflect", "wrap"] = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[Any], Any] | None = None,
        data_format: Literal["channels_last", "channels_first"] | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: Any = None,
        *,
        probability: float = 1.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        threads: int | None = None,
        keras_compatible: bool = False,
    ) -> None:
        self.zca_whitening: bool = bool(zca_whitening)
        self.zca_epsilon: float = checks.real("zca_epsilon", zca_epsilon, low=0)
        self.rotation_range: float = checks.real(
            "rotation_range", rotation_range, low=0
        )
        self.width_shift_range: Any = arguments.shift_range(
            "width_shift_range", width_shift_range
        )
        self.height_shift_range: Any = arguments.shift_range(
            "height_shift_range", height_shift_range
        )
        self.brightness_range: tuple[float, float] | None = arguments.brightness_range(
            brightness_range
        )
        self.shear_range: float = checks.real("shear_range", shear_range, low=0)
        self.zoom_range: list[float] = arguments.zoom_range(zoom_range)
        self.channel_shift_range: float = checks.real(
            "channel_shift_range", channel_shift_range, low=0
        )
        self.fill_mode: str = checks.choice("fill_mode", fill_mode, _FILL_MODES)
        self.cval: float = checks.real("cval", cval)
        self.horizontal_flip: bool = bool(horizontal_flip)
        self.vertical_flip: bool = bool(vertical_flip)
        self.rescale: float | None = checks.real("rescale", rescale, optional=True)
        self.preprocessing_function: Callable[[Any], Any] | None = (
            arguments.function_or_none(preprocessing_function)
        )
        self._set_data_format(data_format)
        self.validation_split: float = checks.real(
            "validation_split", validation_split or 0, low=0, high=1, high_open=True
        )
        self.interpolation_order: int = checks.integer(
            "interpolation_order", interpolation_order, low=0, high=5
        )
        self.dtype: str = np.dtype(
            keras.config.floatx() if dtype is None else dtype
        ).name
        self._set_extensions(probability, mixup, cutmix, threads, keras_compatible)
        self.mean: np.ndarray | None = None
        self.std: np.ndarray | None = None
        self.zca_whitening_matrix: np.ndarray | None = None
        self._set_normalization(
            featurewise_center,
            samplewise_center,
            featurewise_std_normalization,
            samplewise_std_normalization,
        )

    def _set_data_format(self, data_format: str | None) -> None:
        """Sets the data format and its axes in a batch."""
        self.data_format: str = data_format or keras.config.image_data_format()
        formats = ("channels_last", "channels_first")
        checks.choice("data_format", self.data_format, formats)
        axes = (3, 1, 2) if self.data_format == "channels_last" else (1, 2, 3)
        self.channel_axis, self.row_axis, self.col_axis = axes

    def _set_extensions(
        self,
        probability: float,
        mixup: float,
        cutmix: float,
        threads: int | None,
        keras_compatible: bool,
    ) -> None:
        """Sets the attributes that Keras's class does not have."""
        self.probability: float = checks.real("probability", probability, low=0, high=1)
        self.mixup: float = checks.real("mixup", mixup, low=0)
        self.cutmix: float = checks.real("cutmix", cutmix, low=0)
        self.threads: int | None = checks.integer(
            "threads", threads, low=1, optional=True
        )
        self.keras_compatible: bool = checks.boolean(
            "keras_compatible", keras_compatible
        )

    def _set_normalization(
        self, center: bool, sample_center: bool, std: bool, sample_std: bool
    ) -> None:
        """Sets four attributes; division by a deviation and whitening need the mean."""
        overridden = []
        if self.zca_whitening and std:
            overridden.append(("zca_whitening", "featurewise_std_normalization"))
            std = False
        cause = "zca_whitening" if self.zca_whitening else None
        cause = cause or ("featurewise_std_normalization" if std else None)
        if cause and not center:
            overridden.append((cause, "featurewise_center"))
            center = True
        if sample_std and not sample_center:
            overridden.append(("samplewise_std_normalization", "samplewise_center"))
            sample_center = True
        for name, overridden_name in overridden:
            warnings.warn(
                f"This ImageDataGenerator specifies `{name}`, which overrides setting "
                f"of `{overridden_name}`.",
                stacklevel=3,
            )
        self.featurewise_center: bool = bool(center)
        self.samplewise_center: bool = bool(sample_center)
        self.featurewise_std_normalization: bool = bool(std)
        self.samplewise_std_normalization: bool = bool(sample_std)

    def preview(
        self, x: Any, n: int = 9, columns: int | None = None, seed: int | None = None
    ) -> np.ndarray:
        """Returns the first images, augmented but not mixed, as one image grid.

        Args:
            x: Images, an array of rank 4.
            n: Number of images. Defaults to `9`.
            columns: Images per row. Defaults to `None`, about a square.
            seed: Seed of the transforms; `None` uses NumPy's global one. Defaults to
                `None`.

        Returns:
            Array `(height, width, 3)` of uint8.
        """
        unmixed = copy.copy(self)
        unmixed.mixup = unmixed.cutmix = 0.0  # they need labels
        flow = unmixed.flow(x[:n], batch_size=n, shuffle=False, seed=seed)
        return flow.preview(n, columns)

    def fit(
        self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None
    ) -> None:
        """Computes the statistics of featurewise normalization and whitening.

        Args:
            x: Images, an array of rank 4.
            augment: Whether to compute them from augmented images. Defaults to `False`.
            rounds: Number of augmentations of each image. Defaults to `1`.
            seed: Seed of these transforms; `None` uses NumPy's global one. Defaults
                to `None`.
        """
        x = np.asarray(x)
        if x.ndim != 4:
            raise ValueError(
                f"Input to `.fit()` should have rank 4. Got array with shape: {x.shape}"
            )
        warn_of_channels(self, x.shape, "`fit`")
        checks.integer("rounds", rounds, low=1)
        if x.dtype != np.uint8:
            x = x.astype(self.dtype, copy=False)
        if augment:
            seed = np.random.randint(1 << 31) if seed is None else seed
            x = self._augmented(x, rounds, np.random.default_rng(seed))
        fit_statistics(self, x)

    def _augmented(self, x: Any, rounds: int, random: Any) -> np.ndarray:
        is_channels_first = self.data_format == "channels_first"
        images = x.transpose(0, 2, 3, 1) if is_channels_first else x
        shape, augmented = images.shape, []
        for _ in range(rounds):
            draws = draw_block(self, random, *shape[:3])
            augmented.append(
                transform_images(
                    self, images.__getitem__, draws, shape, x.dtype, normalize=False
                )
            )
        return np.concatenate(augmented)

    def standardize(self, x: Any) -> Any:
        """Normalizes an image or a batch, in place if `x` is a float array.

        Args:
            x: Array; for samplewise statistics it is one sample.
        """
        if not np.issubdtype(np.asarray(x).dtype, np.floating):
            x = np.asarray(x, self.dtype)
        return standardize(self, x)

    def get_random_transform(
        self, img_shape: Sequence[int], seed: int | None = None
    ) -> dict[str, Any]:
        """Returns random parameters of one image, as a dict.

        Args:
            img_shape: Shape of the image, three numbers.
            seed: Seed; `None` uses NumPy's global one. Defaults to `None`.
        """
        if len(img_shape) != 3:
            checks.fail("`img_shape` must have three numbers", img_shape=img_shape)
        random = np.random if seed is None else np.random.RandomState(seed)
        height, width = img_shape[self.row_axis - 1], img_shape[self.col_axis - 1]
        return draw_image(self, height, width, random)

    def apply_transform(
        self, x: Any, transform_parameters: Mapping[str, Any]
    ) -> np.ndarray:
        """Transforms one image by explicit parameters.

        Args:
            x: Array of rank 3.
            transform_parameters: Dict with any of `theta` (degrees), `tx`, `ty`
                (pixels that the image moves to the left and up), `shear`
                (degrees), `zx`, `zy` (above 1 zooms out), `flip_horizontal`,
                `flip_vertical`, `channel_shift_intensity` and `brightness`.
        """
        x = np.asarray(x)
        if x.ndim != 3:
            raise ValueError(
                "Input arrays must be multi-channel 2D images. Received an array of "
                f"shape {x.shape}."
            )
        return transform_image(self, x, transform_parameters)

    def random_transform(self, x: Any, seed: int | None = None) -> np.ndarray:
        """Transforms one image by random parameters.

        Args:
            x: Array of rank 3.
            seed: Seed; `None` uses NumPy's global one. Defaults to `None`.
        """
        return self.apply_transform(x, self.get_random_transform(np.shape(x), seed))
