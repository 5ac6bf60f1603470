"""Changes of the training data: images, mixed images, texts."""

import functools

import keras
import numpy as np

from keras_strategies import augmentation
from keras_strategies._internal.keras_private import compile_arguments
from keras_strategies.ablation._catalog import models
from keras_strategies.ablation._catalog.models import refuse
from keras_strategies.ablation._code import layer_lines
from keras_strategies.ablation._strategy import Strategy

_ALPHA = 0.1
_COPIES = 2


def _check_images(x):
    if not hasattr(x, "ndim") or x.ndim != 4:
        refuse("inputs are no images with channels")


def _value_range(x):
    """The range of pixel values, as far as the data tell."""
    low, high = float(np.min(x)), float(np.max(x))
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= 0 and high <= 255:
        return 0.0, 255.0
    return low, high


_AFFINE = {
    "rotation_factor": 0.05,
    "translation_height_factor": 0.1,
    "translation_width_factor": 0.1,
    "zoom_height_factor": 0.1,
}


def _random_affine(x, y):
    _check_images(x)
    return augmentation.RandomAffine(**_AFFINE)


def _random_color(x, y):
    _check_images(x)
    return augmentation.RandomColorAffine(0.1, 0.2, value_range=_value_range(x))


def _trivial_augment(x, y):
    _check_images(x)
    return augmentation.TrivialAugmentWide(value_range=_value_range(x))


def _random_erasing(x, y):
    _check_images(x)
    return keras.layers.RandomErasing(
        scale=(0.02, 0.2), fill_value=0.0, value_range=_value_range(x)
    )


def _mapped(layer, imports=""):
    """Code of a layer that changes the images of each batch."""
    return {"imports": imports, "batches": layer_lines(layer)}


def _code_with_range(model, epochs, layer, imports):
    """The range of values comes from the script's own data."""
    text = _mapped(layer, imports)
    return {**text, "data": _RANGE_CODE}


_RANGE_CODE = """
low, high = float(x_train.min()), float(x_train.max())
value_range = (0.0, 1.0) if 0 <= low and high <= 1 else (low, high)
if 0 <= low and 1 < high <= 255:
    value_range = (0.0, 255.0)
"""


def _soft_labels(model):
    """Compiles for one-hot targets, which mixed images have."""
    name, from_logits = models.loss_of(model)
    if "binary" in name or "categorical_crossentropy" not in name:
        refuse(f"mixed labels need a categorical cross-entropy, not {name}")
    if not name.startswith("sparse"):
        return
    arguments = compile_arguments(model)
    arguments["loss"] = keras.losses.CategoricalCrossentropy(from_logits=from_logits)
    names = [
        str(getattr(item, "name", item))
        for item in keras.tree.flatten(arguments["metrics"] or [])
    ]
    accuracy = [
        keras.metrics.CategoricalAccuracy(name=name)
        for name in names
        if "accuracy" in name and "top" not in name
    ]
    model.compile(**{**arguments, "metrics": accuracy, "weighted_metrics": None})


def _one_hot(x, y):
    _check_images(x)
    if y.ndim == 2 and y.shape[1] > 1:
        return x, y
    return x, keras.utils.to_categorical(y.reshape(-1))


def _mixer(x, y, name):
    if name == "mixup":
        return keras.layers.MixUp(alpha=0.2)
    return keras.layers.CutMix()


_MIX_CODE = """
mix = {layer}
train_data = train_data.map(
    lambda x, y, *rest: (mix({{"images": x, "labels": y}}, training=True), *rest)
)
train_data = train_data.map(
    lambda batch, *rest: (batch["images"], batch["labels"], *rest)
)
"""
_ONE_HOT_CODE = """
if y_train.ndim == 1:
    classes = int(y_train.max()) + 1
    y_train = keras.utils.to_categorical(y_train, classes)
    y_val = keras.utils.to_categorical(y_val, classes)
"""


def _mix_code(model, epochs, layer):
    name, from_logits = models.loss_of(model)
    text = {"data": _ONE_HOT_CODE, "batches": _MIX_CODE.format(layer=layer)}
    if name.startswith("sparse"):
        text["model"] = (
            "model.compile(\n    model.optimizer,\n"
            "    keras.losses.CategoricalCrossentropy("
            f"from_logits={from_logits}),\n"
            '    metrics=["accuracy"],\n)'
        )
    return text


def _is_text(x):
    return hasattr(x, "dtype") and x.dtype.kind in "OSU"


def _eda(x, y):
    """EDA without synonyms: on texts, or on token numbers padded with 0."""
    if not _is_text(x) and not (
        hasattr(x, "dtype") and x.dtype.kind in "iu" and x.ndim == 2
    ):
        refuse("inputs are neither texts nor token numbers")
    texts = _as_texts(x)
    augment = augmentation.TextAugmenter(
        [augmentation.RandomSwap(_ALPHA), augmentation.RandomDeletion(_ALPHA)],
        copies=_COPIES,
        seed=int(np.random.randint(2**31 - 1)),
    )
    more, labels = augment(texts, y)
    return _like(more, x), np.asarray(labels)


def _as_texts(x):
    if _is_text(x):
        flat = x.reshape(-1).tolist()
        return [item.decode() if isinstance(item, bytes) else item for item in flat]
    rows = (row[: np.max(np.flatnonzero(row), initial=-1) + 1] for row in x)
    return [" ".join(str(token) for token in row) or "0" for row in rows]


def _like(texts, x):
    if _is_text(x):
        return np.asarray(texts, x.dtype).reshape(-1, *x.shape[1:])
    tokens = np.zeros((len(texts), x.shape[1]), x.dtype)
    for number, text in enumerate(texts):
        row = [int(word) for word in text.split()][: x.shape[1]]
        tokens[number, : len(row)] = row
    return tokens


_EDA_CODE = """
augment = augmentation.TextAugmenter(
    [augmentation.RandomSwap(0.1), augmentation.RandomDeletion(0.1)], copies=2
)
# Token numbers are words too; a text of words needs no translation.
lines = [" ".join(str(t) for t in row if t) or "0" for row in x_train]
lines, y_train = augment(lines, y_train)
rows = [[int(word) for word in line.split()] for line in lines]
x_train = keras.utils.pad_sequences(
    rows, x_train.shape[1], x_train.dtype.name, padding="post", truncating="post"
)
"""
_EDA_TEXT_CODE = """
augment = augmentation.TextAugmenter(
    [augmentation.RandomSwap(0.1), augmentation.RandomDeletion(0.1)], copies=2
)
x_train, y_train = augment(x_train, y_train)
"""


def _eda_code(model, epochs):
    tokens = "string" not in str(getattr(model, "input_dtype", model.inputs[0].dtype))
    return {
        "imports": "from keras_strategies import augmentation",
        "data": _EDA_CODE if tokens else _EDA_TEXT_CODE,
    }


def _affine_text():
    arguments = ",\n    ".join(f"{name}={value}" for name, value in _AFFINE.items())
    return f"augmentation.RandomAffine(\n    {arguments},\n)"


def image_strategies() -> list[Strategy]:
    """Strategies for images."""
    return [*_changed_images(), *_mixed_images()]


def _changed_images() -> list[Strategy]:
    ours = "from keras_strategies import augmentation"
    color = "augmentation.RandomColorAffine(0.1, 0.2, value_range=value_range)"
    trivial = "augmentation.TrivialAugmentWide(value_range=value_range)"
    erasing = (
        "keras.layers.RandomErasing(\n    scale=(0.02, 0.2), fill_value=0.0, "
        "value_range=value_range\n)"
    )
    return [
        Strategy(
            "random_affine",
            data=_random_affine,
            why="images turned, moved and zoomed a little at random",
            source="Simard et al., 2003, Best Practices for Convolutional Neural "
            "Networks",
            code=_mapped(_affine_text(), ours),
        ),
        Strategy(
            "random_color",
            data=_random_color,
            why="brightness and contrast changed at random",
            source="Krizhevsky et al., 2012, ImageNet Classification",
            code=functools.partial(_code_with_range, layer=color, imports=ours),
        ),
        Strategy(
            "trivial_augment",
            data=_trivial_augment,
            why="one operation of random strength an image, nothing to tune",
            source="Müller and Hutter, 2021, https://arxiv.org/abs/2103.10158",
            code=functools.partial(_code_with_range, layer=trivial, imports=ours),
        ),
        Strategy(
            "random_erasing",
            data=_random_erasing,
            why="erases a rectangle of each image, so that no part is relied on alone",
            source="Zhong et al., 2020, https://arxiv.org/abs/1708.04896",
            code=functools.partial(_code_with_range, layer=erasing, imports=""),
        ),
    ]


def _mixed_images() -> list[Strategy]:
    return [
        Strategy(
            "mixup",
            model=_soft_labels,
            data=[_one_hot, functools.partial(_mixer, name="mixup")],
            why="mixes pairs of images and of their labels",
            source="Zhang et al., 2018, https://arxiv.org/abs/1710.09412",
            group="labels",
            code=functools.partial(_mix_code, layer="keras.layers.MixUp(alpha=0.2)"),
        ),
        Strategy(
            "cutmix",
            model=_soft_labels,
            data=[_one_hot, functools.partial(_mixer, name="cutmix")],
            why="pastes a part of one image into another and mixes their labels",
            source="Yun et al., 2019, https://arxiv.org/abs/1905.04899",
            group="labels",
            code=functools.partial(_mix_code, layer="keras.layers.CutMix()"),
        ),
    ]


def text_strategies() -> list[Strategy]:
    """Strategies for texts."""
    return [
        Strategy(
            "eda",
            data=_eda,
            why="changed copies of each text: words exchanged and left out",
            source="Wei and Zou, 2019, https://arxiv.org/abs/1901.11196",
            code=_eda_code,
        )
    ]
