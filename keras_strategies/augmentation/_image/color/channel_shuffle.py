"""Random order of channels."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.image_layer import ImageLayer
from keras_strategies.augmentation._common.compiled import apply
from keras_strategies.augmentation._image.erasing.mask_ops import shuffle_channels


@serializable
class ChannelShuffle(ImageLayer):
    """Shuffles the channels of each image.

    For data whose classes do not depend on color, such as sketches, textures or images
    under varying illumination. With fewer `groups` than channels, neighbouring channels
    are moved together:

    ```
    y[..., g] = x[..., order[g]]
    ```

    for the groups `g` and an `order` drawn for each image.

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks, boxes and labels pass through.

    Args:
        groups: Number of groups of neighbouring channels; must divide the number of
            channels. Defaults to `3`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Images, or a dict with the key `images`.
        training: Whether to shuffle. Defaults to `True`, as
            for Keras's random layers.

    Input shape:
        `(height, width, channels)` or `(batch, height, width, channels)` with
        `"channels_last"`, channels before height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If `groups` does not divide the number of channels.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import ChannelShuffle

    images = np.random.rand(4, 32, 32, 3)
    shuffled = ChannelShuffle()(images, training=True)
    ```
    """

    def __init__(
        self,
        groups: int = 3,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.groups: int = checks.integer("groups", groups, low=1)
        self._DRAWS = self.groups

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        channels = images.shape[-1 if self.data_format == "channels_last" else 1]
        if channels is None or channels % self.groups:
            rule = "`groups` must divide the number of channels"
            checks.fail(rule, groups=self.groups, channels=channels)
        uniform = transformation["uniform"]
        return apply(shuffle_channels, images, uniform, self.groups, layer=self)

    def get_config(self) -> Config:
        return {**super().get_config(), "groups": self.groups}
