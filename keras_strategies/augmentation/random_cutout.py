from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.augmentation._compiled import apply
from keras_strategies.augmentation._image_layer import ImageLayer, factor
from keras_strategies.augmentation.patterns import erase, holes


@serializable
class RandomCutout(ImageLayer):
    """Cuts rectangles of a fixed size out of images.

    Makes a network look at more than one part of an object. The centre of a rectangle
    is drawn evenly from all pixels, so that it may reach past the border and less is
    cut; the paper found that this matters. Keras's `RandomErasing` differs: its
    rectangle has a random size and always lies inside the image.

    Reference: DeVries and Taylor, 2017, [Improved Regularization of Convolutional
    Neural Networks with Cutout](https://arxiv.org/abs/1708.04552).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks, boxes and labels pass through.

    Args:
        height_factor: Height as a fraction of that of the image, a number or a pair
            `(lower, upper)` to draw from, within `[0, 1]`. Defaults to `0.5`, as the
            paper's 16 pixels on CIFAR-10.
        width_factor: The same for the width, or `None` for the same fraction as the
            height. Defaults to `None`.
        holes: Rectangles in an image. Defaults to `1`.
        rate: Share of the images that are cut, in `[0, 1]`. Defaults to `1.0`.
        fill_value: What is written. Defaults to `0.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Images, or a dict with the key `images`.
        training: Whether images are cut. Without it, a layer that is called by
            itself cuts and a layer in a model does not.

    Input shape:
        `(height, width, channels)` or `(batch, height, width, channels)` with
        `"channels_last"`, channels before height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If a factor, the rate or the number of holes is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import RandomCutout

    images = np.random.rand(4, 32, 32, 3)
    cut = RandomCutout(0.5)(images, training=True)
    ```
    """

    def __init__(
        self,
        height_factor=0.5,
        width_factor=None,
        holes=1,
        rate=1.0,
        fill_value=0.0,
        seed=None,
        data_format=None,
        **kwargs,
    ):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.height_factor = factor("height_factor", height_factor, 0)
        self.width_factor = width_factor
        if width_factor is not None:
            self.width_factor = factor("width_factor", width_factor, 0)
        self.holes = checks.integer("holes", holes, low=1)
        self.rate = checks.real("rate", rate, low=0, high=1)
        self.fill_value = checks.real("fill_value", fill_value)
        self._DRAWS = 1 + 4 * self.holes

    def _augment(self, images, transformation):
        size = tuple(
            (value, value) if isinstance(value, float) else value
            for value in (self.height_factor, self.width_factor)
        )
        pattern = (holes, size, self.holes)
        uniform = transformation["uniform"]
        return apply(
            erase, images, uniform, pattern, self.rate, self.fill_value, layer=self
        )

    def get_config(self):
        names = ("height_factor", "width_factor", "holes", "rate", "fill_value")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
