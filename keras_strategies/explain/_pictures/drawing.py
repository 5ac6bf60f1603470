"""Maps over images, and bars for tables and texts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.explain._engine.positions import by_position

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDE = 2.2  # inches of a picture


def overlay(
    images: Any,
    maps: Any,
    *,
    alpha: float = 0.7,
    percentile: float = 99.0,
    colormap: str | None = None,
) -> np.ndarray:
    """Maps as colors over their images.

    Each map is scaled by itself. Colors are as opaque as the map is strong, so that
    the image stays visible where nothing speaks. Needs Matplotlib, in the extra
    `explain`.

    Args:
        images: `(samples, height, width, 1 or 3)`, or one image without the first axis.
            Bytes are taken as they are; floating-point numbers are scaled to the range
            of each image.
        maps: `(samples, height, width)` or with channels, which are added up.
        alpha: Opacity where a map is strongest, in [0, 1]. Defaults to `0.7`.
        percentile: Which percentile of a map's absolute values is the strongest color,
            in (0, 100]: 100 lets one pixel outshine all others. Defaults to `99.0`.
        colormap: Name of one of Matplotlib's. Defaults to `None`: `"inferno"` for
            maps that are at least 0, else `"coolwarm"`, blue against and red for.

    Returns:
        uint8 array `(samples, height, width, 3)`, or `(height, width, 3)` for one.

    Raises:
        ImportError: If Matplotlib is not installed.
        TypeError: If an argument is of the wrong type.
        ValueError: If images and maps do not fit, or an argument is out of range.

    Example:

    ```python
    import numpy as np
    from keras_strategies import explain

    images = np.random.default_rng(0).random((2, 8, 8, 3))
    maps = images.mean(axis=-1)
    explain.overlay(images, maps).shape  # (2, 8, 8, 3)
    ```
    """
    checks.real("alpha", alpha, low=0, high=1)
    checks.real("percentile", percentile, low=0, high=100, low_open=True)
    pictures, values, single = _checked_pair(images, maps)
    colormaps = require("matplotlib", "`explain.overlay`").colormaps
    signed = bool(values.min() < 0)
    name = colormap or ("coolwarm" if signed else "inferno")
    if name not in colormaps:
        checks.fail("`colormap` must be one of Matplotlib's", colormap=colormap)
    strength = scaled(values, percentile)
    colors = colormaps[name]((strength + 1) / 2 if signed else strength)[..., :3] * 255
    opacity = alpha * np.abs(strength)[..., None]
    mixed = (1 - opacity) * pictures + opacity * colors
    result = np.round(mixed).astype("uint8")
    return result[0] if single else result


def scaled(values: np.ndarray, percentile: float) -> np.ndarray:
    """Maps divided by a percentile of their absolute values, in [-1, 1]."""
    flat = np.abs(values).reshape(len(values), -1)
    top = np.percentile(flat, percentile, axis=1)
    # A map of few pixels may have nothing at its percentile.
    top = np.where(top > 0, top, flat.max(axis=1))
    top = np.where(top > 0, top, 1).reshape(-1, *[1] * (values.ndim - 1))
    return np.clip(values / top, -1, 1)


def _checked_pair(images, maps):
    pictures, values = np.asarray(images), np.asarray(maps, "float64")
    single = pictures.ndim == 3
    if single:
        pictures, values = pictures[None], values[None]
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3):
        checks.fail(
            "`images` must be (samples, height, width, 1 or 3), or one such image",
            shape=np.shape(images),
        )
    if values.shape[:3] != pictures.shape[:3] or values.ndim not in (3, 4):
        checks.fail(
            "`maps` must have the samples, height and width of the images",
            images=np.shape(images),
            maps=np.shape(maps),
        )
    if not np.isfinite(values).all():
        checks.fail(
            "`maps` must be finite", not_finite=int((~np.isfinite(values)).sum())
        )
    values = values.sum(axis=-1) if values.ndim == 4 else values
    return as_bytes(pictures), values, single


def as_bytes(pictures: np.ndarray) -> np.ndarray:
    """Images of three colors with values of 0 to 255, as floating-point numbers."""
    result = np.asarray(pictures, "float64")
    if np.asarray(pictures).dtype != np.uint8:
        low = result.min(axis=(1, 2, 3), keepdims=True)
        spread = np.ptp(result, axis=(1, 2, 3), keepdims=True)
        result = (result - low) / np.where(spread > 0, spread, 1) * 255
    return np.repeat(result, 3, axis=-1) if result.shape[-1] == 1 else result


def plot_attributions(
    inputs: Any,
    attributions: Any,
    *,
    labels: Sequence[str] | None = None,
    names: Sequence[Any] | None = None,
    max_samples: int = 8,
    alpha: float = 0.7,
    colormap: str | None = None,
) -> "Figure":
    """A picture of attributions: maps over images, or bars for tables and texts.

    One row a sample; for images the image itself and a map for each method, for tables
    and texts a bar for each value. Needs Matplotlib, in the extra `explain`.

    Args:
        inputs: Images `(samples, height, width, 1 or 3)`, rows of a table or token
            numbers, `(samples, columns)`.
        attributions: An array as the functions of this package return, or a dict of
            them by the name of their method.
        labels: A title for each sample, such as its class. Defaults to `None`.
        names: For tables and texts: names of the columns, or for each sample a list of
            its words. Defaults to `None`, numbers.
        max_samples: The most samples to draw, at least 1. Defaults to `8`.
        alpha: Opacity where a map is strongest, as for `overlay`. Defaults to `0.7`.
        colormap: As for `overlay`. Defaults to `None`.

    Returns:
        The Matplotlib `Figure`: show it in a notebook or call its `savefig`.

    Raises:
        ImportError: If Matplotlib is not installed.
        TypeError: If an argument is of the wrong type.
        ValueError: If inputs and attributions do not fit.

    Example:

    ```python
    import numpy as np
    from keras_strategies import explain

    images = np.random.default_rng(0).random((2, 8, 8, 1))
    figure = explain.plot_attributions(images, {"a map": images[..., 0]})
    figure.savefig("maps.png")
    rows = np.array([[0.2, -1.0, 3.0]])
    explain.plot_attributions(rows, rows, names=["age", "height", "weight"])
    ```
    """
    checks.integer("max_samples", max_samples, low=1)
    values = np.asarray(inputs)
    is_named = isinstance(attributions, Mapping)
    columns = dict(attributions) if is_named else {"": attributions}
    if {np.shape(column)[:1] for column in columns.values()} != {values.shape[:1]}:
        checks.fail(
            "`attributions` must have the samples of the inputs",
            inputs=values.shape,
            attributions={name: np.shape(c) for name, c in columns.items()},
        )
    count = min(len(values), max_samples)
    titles = _titles(labels, len(values))
    if values.ndim == 4:
        maps = {n: by_position(np.asarray(c), values) for n, c in columns.items()}
        return _image_figure(values, maps, count, titles, alpha, colormap)
    if values.ndim != 2:
        checks.fail(
            "`inputs` must be images, rows of a table or token numbers",
            shape=values.shape,
        )
    return _bar_figure(columns, count, titles, _texts(names, columns, len(values)))


def _figure(rows, columns, size):
    pyplot = require("matplotlib.pyplot", "`explain.plot_attributions`")
    figure, axes = pyplot.subplots(
        rows, columns, squeeze=False, figsize=size, layout="constrained"
    )
    pyplot.close(figure)  # it belongs to the caller, not to Matplotlib's list
    return figure, axes


def _titles(labels, count):
    if labels is None:
        return [""] * count
    titles = [str(label) for label in labels]
    if len(titles) != count:
        checks.fail(
            "`labels` must have one for each sample", labels=len(titles), samples=count
        )
    return titles


def _image_figure(images, maps, count, titles, alpha, colormap):
    size = (_SIDE * (1 + len(maps)), _SIDE * count + 0.3)
    figure, axes = _figure(count, 1 + len(maps), size)
    drawn = {
        name: overlay(images[:count], m[:count], alpha=alpha, colormap=colormap)
        for name, m in maps.items()
    }
    pictures = as_bytes(images[:count]).astype("uint8")
    for index, row in enumerate(axes):
        for ax, (name, picture) in zip(
            row, [("", pictures), *drawn.items()], strict=True
        ):
            ax.imshow(picture[index])
            ax.set_xticks([])
            ax.set_yticks([])
            if index == 0 and name:
                ax.set_title(name.replace("_", " "), fontsize=9)
        row[0].set_ylabel(titles[index], fontsize=9)
    return figure


def _texts(names, columns, count):
    """The text at each bar, for each sample."""
    length = np.shape(next(iter(columns.values())))[1]
    if names is None:
        return [[str(i) for i in range(length)]] * count
    several = bool(names) and not isinstance(names[0], str)
    texts = [[str(t) for t in row] for row in (names if several else [names] * count)]
    if len(texts) != count or any(len(row) > length for row in texts):
        checks.fail(
            "`names` must have a text for each value, once or for each sample",
            names=[len(row) for row in texts][:8],
            values=length,
        )
    return texts


def _bar_figure(columns, count, titles, texts):
    longest = max(len(row) for row in texts[:count])
    size = (3.4 * len(columns), max(1.4, 0.22 * longest + 0.5) * count)
    figure, axes = _figure(count, len(columns), size)
    for index, row in enumerate(axes):
        for ax, (name, values) in zip(row, columns.items(), strict=True):
            numbers = np.asarray(values[index], "float64")[: len(texts[index])]
            colors = np.where(numbers < 0, "#2f6fb2", "#b23a2f")
            ax.barh(range(len(numbers)), numbers, color=list(colors))
            ax.set_yticks(range(len(numbers)), texts[index], fontsize=8)
            ax.invert_yaxis()
            ax.axvline(0, color="0.5", linewidth=0.8)
            title = " ".join(t for t in (titles[index], name.replace("_", " ")) if t)
            ax.set_title(title, fontsize=9)
    return figure
