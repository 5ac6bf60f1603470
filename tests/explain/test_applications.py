"""Networks of `keras.applications`, nested in a classifier."""

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_strategies import explain
from tests.explain.models import images

# One of each family, a small size, and the layer that a map is made of: the last one
# with several positions that is not in one of several branches.
FAMILIES = {
    "Xception": (71, "block14_sepconv2_act"),
    "VGG16": (32, "block5_conv3"),
    "ResNet50": (64, "conv5_block3_out"),
    "ResNet50V2": (64, "post_relu"),
    "InceptionV3": (96, "mixed7"),
    "InceptionResNetV2": (96, "block17_20_ac"),
    "MobileNet": (64, "conv_pw_13_relu"),
    "MobileNetV2": (64, "out_relu"),
    "MobileNetV3Small": (64, None),
    "DenseNet121": (64, "relu"),
    "NASNetMobile": (64, None),
    "EfficientNetB0": (64, "top_activation"),
    "EfficientNetV2B0": (64, "top_activation"),
    "ConvNeXtTiny": (64, None),
}
SMALL = "MobileNetV2"


@pytest.mark.slow  # in every run test_models.py has nested networks
@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_nested_in_a_classifier(name):
    size, expected = FAMILIES[name]
    options = {"alpha": 0.35} if name == SMALL else {}
    backbone = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(size, size, 3), **options
    )
    inputs = keras.Input((size, size, 3))
    x = kl.GlobalAveragePooling2D()(backbone(inputs))
    model = keras.Model(inputs, kl.Dense(4, activation="softmax")(x))
    x = images(2, size)
    path = explain.find_cam_layer(model, x)
    inner, _, layer = path.partition("/")
    assert inner == backbone.name
    if expected is not None:
        assert layer == expected
    kernel = model.layers[-1].get_weights()[0]
    # A network without training may die out: weights of either sign, both classes.
    maps = np.stack([explain.grad_cam(model, x, target) for target in range(4)])
    assert maps.shape == (4, 2, size, size) and np.isfinite(maps).all()
    assert (maps >= 0).all() and kernel.any()
    # The features themselves are not zero: eigen_cam sees them without the head.
    assert explain.eigen_cam(model, x).max() > 0
    saliency = explain.saliency(model, x, 0)
    assert saliency.shape == x.shape and saliency.max() > 0
