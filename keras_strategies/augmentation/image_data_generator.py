"""Images turned, moved, mirrored and recoloured at random while a model trains."""

import copy
import warnings

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
from keras_strategies.augmentation._generator.sampling import draw_block, draw_one
from keras_strategies.augmentation._generator.transform import (
    transform_images,
    transform_one,
)

_FILL_MODES = ("constant", "nearest", "reflect", "wrap")


class ImageDataGenerator(Flows):
    """Keras's `ImageDataGenerator` at many times its speed.

    A drop-in replacement for the class that Keras deprecated: the same arguments,
    methods and iterators, so that the import is all that changes in a script. The
    iterators go into `model.fit` on every backend; they are `keras.utils.PyDataset`s
    that also have `as_dataset()` (`tf.data`), `preview(n)` (a picture grid) and plain
    endless iteration.

    All geometric operations of an image are multiplied into one matrix

        M = rotation @ shift @ shear @ zoom @ flips

    about the centre of the image, and the pixel (x, y) of the result is read at
    M (x, y) of the input, once, by OpenCV. Images of uint8 stay uint8 until they are
    cast into the batch, so leave them so and give `rescale`; slices of a batch run in
    threads. What happens to an image depends on the seed, the epoch and its place in
    the epoch alone, not on the number of workers.

    Two defects of Keras's class are repaired: there `height_shift_range` moves
    images sideways and `width_shift_range` up and down, and images that are not
    square turn about a wrong centre. A third comes from Pillow: `brightness_range`
    turns images in [0, 1] black. `keras_compatible=True` brings them back.
    `fill_mode="wrap"` repeats an image with its true period.

    Args:
        featurewise_center: Whether to subtract the mean of each channel over the
            data, see `fit`. Default `False`.
        samplewise_center: Whether to subtract the mean of each image. Default `False`.
        featurewise_std_normalization: Whether to divide by the deviation of each
            channel over the data, see `fit`. Default `False`.
        samplewise_std_normalization: Whether to divide by the deviation of each
            image. Default `False`.
        zca_whitening: Whether to decorrelate the pixels, see `fit`. Default `False`.
        zca_epsilon: Added to the singular values before division. Default 1e-6.
        rotation_range: Largest angle in degrees, at least 0. Default 0.
        width_shift_range: Largest shift to the left or right: below 1 a fraction of
            the width, from 1 on pixels. An int n draws whole pixels below n, a list
            one of its numbers, with either sign. Default 0.
        height_shift_range: The same, up or down. Default 0.
        brightness_range: Pair `(lower, upper)` of factors, at least 0, or `None`
            (default).
        shear_range: Largest shear angle in degrees, at least 0. Default 0.
        zoom_range: A number z in [0, 1] for `(1 - z, 1 + z)`, or that pair. Width and
            height draw their own; above 1 the picture shrinks. Default 0.
        channel_shift_range: Largest number added to all channels, within the range
            of the image. Default 0.
        fill_mode: What is read outside of the image: `"nearest"` (default),
            `"reflect"`, `"wrap"` or `"constant"`.
        cval: What `"constant"` fills with. Default 0.
        horizontal_flip: Whether to mirror half of the images left and right.
        vertical_flip: Whether to mirror half of the images top and bottom.
        rescale: Factor on the augmented image, or `None`. Default `None`.
        preprocessing_function: Called with each augmented image, a float array of
            rank 3, before it is normalized; returns one of the same shape.
        data_format: `"channels_last"` or `"channels_first"`. Default: Keras's.
        validation_split: Fraction of the data, its first part, that
            `subset="validation"` has. In [0, 1), default 0.
        interpolation_order: 0 for the nearest pixel, 1 (default) for bilinear, 2 to 5
            for splines, which need SciPy and are slow.
        dtype: Type of the batches. Default: Keras's `floatx`.
        probability: Chance that an image is transformed at all; the others are
            normalized only. In [0, 1], default 1.
        mixup: Alpha of MixUp (Zhang et al., 2018,
            [arXiv:1710.09412](https://arxiv.org/abs/1710.09412)): images and labels
            of a batch are blended in pairs, by a share of Beta(alpha, alpha). 0.2 is
            usual; 0 (default) for none. Labels must be floats, such as one-hot.
        cutmix: Alpha of CutMix (Yun et al., 2019,
            [arXiv:1905.04899](https://arxiv.org/abs/1905.04899)): a rectangle comes
            from another image. 1 is usual; 0 (default) for none. With both, each
            batch draws one.
        threads: How many threads share a batch, at least 1. Default `None`: as many
            as the process has processors.
        keras_compatible: Whether to keep the defects of Keras's class. Default
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
    picture = batches.preview(9)
    ```
    """

    def __init__(
        self,
        featurewise_center=False,
        samplewise_center=False,
        featurewise_std_normalization=False,
        samplewise_std_normalization=False,
        zca_whitening=False,
        zca_epsilon=1e-6,
        rotation_range=0,
        width_shift_range=0.0,
        height_shift_range=0.0,
        brightness_range=None,
        shear_range=0.0,
        zoom_range=0.0,
        channel_shift_range=0.0,
        fill_mode="nearest",
        cval=0.0,
        horizontal_flip=False,
        vertical_flip=False,
        rescale=None,
        preprocessing_function=None,
        data_format=None,
        validation_split=0.0,
        interpolation_order=1,
        dtype=None,
        *,
        probability=1.0,
        mixup=0.0,
        cutmix=0.0,
        threads=None,
        keras_compatible=False,
    ):
        self.zca_whitening = bool(zca_whitening)
        self.zca_epsilon = checks.real("zca_epsilon", zca_epsilon, low=0)
        self.rotation_range = checks.real("rotation_range", rotation_range, low=0)
        self.width_shift_range = arguments.shift_range(
            "width_shift_range", width_shift_range
        )
        self.height_shift_range = arguments.shift_range(
            "height_shift_range", height_shift_range
        )
        self.brightness_range = arguments.brightness_range(brightness_range)
        self.shear_range = checks.real("shear_range", shear_range, low=0)
        self.zoom_range = arguments.zoom_range(zoom_range)
        self.channel_shift_range = checks.real(
            "channel_shift_range", channel_shift_range, low=0
        )
        self.fill_mode = checks.choice("fill_mode", fill_mode, _FILL_MODES)
        self.cval = checks.real("cval", cval)
        self.horizontal_flip = bool(horizontal_flip)
        self.vertical_flip = bool(vertical_flip)
        self.rescale = checks.real("rescale", rescale, optional=True)
        self.preprocessing_function = arguments.function_or_none(preprocessing_function)
        self.data_format = data_format or keras.config.image_data_format()
        formats = ("channels_last", "channels_first")
        checks.choice("data_format", self.data_format, formats)
        axes = (3, 1, 2) if self.data_format == "channels_last" else (1, 2, 3)
        self.channel_axis, self.row_axis, self.col_axis = axes
        self.validation_split = checks.real(
            "validation_split", validation_split or 0, low=0, high=1, high_open=True
        )
        self.interpolation_order = checks.integer(
            "interpolation_order", interpolation_order, low=0, high=5
        )
        self.dtype = np.dtype(keras.config.floatx() if dtype is None else dtype).name
        self.probability = checks.real("probability", probability, low=0, high=1)
        self.mixup = checks.real("mixup", mixup, low=0)
        self.cutmix = checks.real("cutmix", cutmix, low=0)
        self.threads = checks.integer("threads", threads, low=1, optional=True)
        self.keras_compatible = checks.boolean("keras_compatible", keras_compatible)
        self.mean = self.std = self.zca_whitening_matrix = None
        self._set_normalization(
            featurewise_center,
            samplewise_center,
            featurewise_std_normalization,
            samplewise_std_normalization,
        )

    def _set_normalization(self, center, own_center, std, own_std):
        """Sets the four switches: a deviation needs the mean, whitening as well."""
        overridden = []
        if self.zca_whitening and std:
            overridden.append(("zca_whitening", "featurewise_std_normalization"))
            std = False
        wanted = "zca_whitening" if self.zca_whitening else None
        wanted = wanted or ("featurewise_std_normalization" if std else None)
        if wanted and not center:
            overridden.append((wanted, "featurewise_center"))
            center = True
        if own_std and not own_center:
            overridden.append(("samplewise_std_normalization", "samplewise_center"))
            own_center = True
        for name, other in overridden:
            warnings.warn(
                f"This ImageDataGenerator specifies `{name}`, which overrides setting "
                f"of `{other}`.",
                stacklevel=3,
            )
        self.featurewise_center = bool(center)
        self.samplewise_center = bool(own_center)
        self.featurewise_std_normalization = bool(std)
        self.samplewise_std_normalization = bool(own_std)

    def preview(self, x, n=9, columns=None, seed=None):
        """The first images, augmented but not mixed, as one picture.

        Args:
            x: Images, an array of rank 4.
            n: How many. Default 9.
            columns: How many in a row; by default about a square.
            seed: Of the transforms; `None` takes NumPy's global one.

        Returns:
            Array `(height, width, 3)` of uint8.
        """
        plain = copy.copy(self)
        plain.mixup = plain.cutmix = 0.0  # they need labels
        flow = plain.flow(x[:n], batch_size=n, shuffle=False, seed=seed)
        return flow.preview(n, columns)

    def fit(self, x, augment=False, rounds=1, seed=None):
        """Computes what featurewise normalization and whitening need.

        Args:
            x: Images, an array of rank 4.
            augment: Whether the statistics are of augmented images.
            rounds: How often each image is augmented for that.
            seed: Of these transforms; `None` takes NumPy's global one.
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

    def _augmented(self, x, rounds, random):
        first = self.data_format == "channels_first"
        images = x.transpose(0, 2, 3, 1) if first else x
        shape, parts = images.shape, []
        for _ in range(rounds):
            draws = draw_block(self, random, *shape[:3])
            parts.append(
                transform_images(
                    self, images.__getitem__, draws, shape, x.dtype, normalize=False
                )
            )
        return np.concatenate(parts)

    def standardize(self, x):
        """Normalizes an image or a batch, in place where `x` is of floats.

        Args:
            x: Array; with statistics of the sample it is taken as one.
        """
        if not np.issubdtype(np.asarray(x).dtype, np.floating):
            x = np.asarray(x, self.dtype)
        return standardize(self, x)

    def get_random_transform(self, img_shape, seed=None):
        """Random parameters of one image, as a dict.

        Args:
            img_shape: Shape of the image, three numbers.
            seed: `None` takes NumPy's global one.
        """
        if len(img_shape) != 3:
            checks.fail("`img_shape` must have three numbers", img_shape=img_shape)
        random = np.random if seed is None else np.random.RandomState(seed)
        height, width = img_shape[self.row_axis - 1], img_shape[self.col_axis - 1]
        return draw_one(self, height, width, random)

    def apply_transform(self, x, transform_parameters):
        """Transforms one image by given parameters.

        Args:
            x: Array of rank 3.
            transform_parameters: Dict with any of `theta` (degrees), `tx`, `ty`
                (pixels that the picture moves to the left and up), `shear`
                (degrees), `zx`, `zy` (above 1 shrinks), `flip_horizontal`,
                `flip_vertical`, `channel_shift_intensity` and `brightness`.
        """
        x = np.asarray(x)
        if x.ndim != 3:
            raise ValueError(
                "Input arrays must be multi-channel 2D images. Received an array of "
                f"shape {x.shape}."
            )
        return transform_one(self, x, transform_parameters)

    def random_transform(self, x, seed=None):
        """Transforms one image by random parameters.

        Args:
            x: Array of rank 3.
            seed: `None` takes NumPy's global one.
        """
        return self.apply_transform(x, self.get_random_transform(np.shape(x), seed))
