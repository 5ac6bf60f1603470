import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.registration import serializable
from keras_strategies.augmentation._compiled import apply
from keras_strategies.augmentation._image_layer import (
    ImageLayer,
    pair,
    with_channel_axis,
)
from keras_strategies.augmentation.mosaics import (
    assemble,
    gather_boxes,
    layout,
    shares,
)


@serializable
class RandomMosaic(ImageLayer):
    """Puts parts of four images of the batch into one.

    Shows a detector four contexts at once and objects cut by borders, at no cost in
    resolution. Each image keeps the quadrant bottom right and gets the other three
    from images drawn from the batch; the centre where the four meet is drawn too.

    With a dict, boxes and masks follow: boxes are moved, cut at their quadrant and
    put one after the other (four times as many; those not seen have the label -1,
    and `keras.layers.MaxNumBoundingBoxes` shortens the list). Labels of the whole
    image, one-hot or multi-hot, are mixed by area:

    ```
    label = sum_q area_q label_q
    ```

    Reference: Bochkovskiy et al., 2020, [YOLOv4: Optimal Speed and Accuracy of Object
    Detection](https://arxiv.org/abs/2004.10934).

    Works in a model, called directly, and in `tf.data` pipelines on every backend, on
    batches. Active in training only.

    Args:
        centre_factor: Where the four images meet, a pair `(lower, upper)` of
            fractions of width and height, within `[0, 1]`. Defaults to
            `(0.25, 0.75)`.
        rate: Share of the images that become mosaics, in `[0, 1]`. Defaults to
            `1.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        bounding_box_format: Format of the boxes, such as `"xyxy"` or `"rel_xywh"`.
            Needed only with boxes. Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: A batch of images, or a dict with the key `images`.
        training: Whether images are mixed. Without it, a layer that is called by
            itself mixes and a layer in a model does not.

    Input shape:
        `(batch, height, width, channels)` with `"channels_last"`, channels before
        height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range, a single image is given, or
            labels are class numbers, which cannot be mixed.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import RandomMosaic

    mosaic = RandomMosaic(bounding_box_format="xyxy")
    batch = {
        "images": np.random.rand(4, 32, 32, 3),
        "labels": np.eye(4),
        "bounding_boxes": {
            "boxes": np.array([[[4.0, 4.0, 20.0, 20.0]]] * 4),
            "labels": np.ones((4, 1)),
        },
    }
    mixed = mosaic(batch, training=True)
    ```
    """

    _DRAWS = 6

    def __init__(
        self,
        centre_factor=(0.25, 0.75),
        rate=1.0,
        seed=None,
        data_format=None,
        bounding_box_format=None,
        **kwargs,
    ):
        super().__init__(
            seed=seed,
            data_format=data_format,
            bounding_box_format=bounding_box_format,
            **kwargs,
        )
        self.centre_factor = tuple(
            sorted(pair("centre_factor", centre_factor, low=0, high=1))
        )
        self.rate = checks.real("rate", rate, low=0, high=1)

    def get_random_transformation(self, data, training=True, seed=None):
        images = data["images"] if isinstance(data, dict) else data
        if training and len(images.shape) == 3:
            fix = "Give a batch: a mosaic needs several images."
            shape = tuple(images.shape)
            checks.fail("Images must have a batch axis", fix=fix, shape=shape)
        drawn = super().get_random_transformation(data, training, seed)
        if drawn is not None:
            ops = backend_ops(self.backend)
            sizes = drawn["height"], drawn["width"]
            settings = self.centre_factor, self.rate
            drawn["layout"] = layout(drawn["uniform"], *sizes, *settings, ops=ops)
        return drawn

    def _augment(self, images, transformation):
        settings = self.centre_factor, self.rate
        return apply(assemble, images, transformation["uniform"], *settings, layer=self)

    def transform_labels(self, labels, transformation, training=True):
        if not training:
            return labels
        ops = backend_ops(self.backend)
        if len(labels.shape) < 2:
            fix = "Give one-hot labels (keras.ops.one_hot): numbers cannot be mixed."
            shape = tuple(labels.shape)
            checks.fail("`labels` must be (batch, classes)", fix=fix, shape=shape)
        partners, x, y = transformation["layout"]
        sizes = transformation["height"], transformation["width"]
        weights = shares(x, y, *sizes, ops=ops)
        labels = ops.cast(labels, self.compute_dtype)
        mixed = 0.0
        for i in range(4):
            weight = ops.cast(weights[:, i], labels.dtype)
            weight = ops.reshape(weight, (-1,) + (1,) * (len(labels.shape) - 1))
            mixed = mixed + weight * ops.take(labels, partners[:, i], axis=0)
        return mixed

    def transform_segmentation_masks(
        self, segmentation_masks, transformation, training=True
    ):
        ops = backend_ops(self.backend)
        if not training:
            return ops.convert_to_tensor(segmentation_masks)

        def change(masks):
            return self._augment(masks, transformation)

        return with_channel_axis(change, segmentation_masks, self.data_format, ops)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training:
            return bounding_boxes
        ops = backend_ops(self.backend)
        size = {k: transformation[k] for k in ("height", "width")}
        convert = keras.utils.bounding_boxes.convert_format
        own = self.bounding_box_format
        moved = convert(bounding_boxes, source=own, target="xyxy", **size)
        moved["boxes"], moved["labels"] = gather_boxes(
            moved["boxes"], moved["labels"], transformation["layout"], **size, ops=ops
        )
        return convert(moved, source="xyxy", target=own, **size)

    def get_config(self):
        config = {"centre_factor": self.centre_factor, "rate": self.rate}
        return {**super().get_config(), **config}
