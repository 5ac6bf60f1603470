"""Which factors of `RandomAffine` a geometric layer of Keras stands for."""

import dataclasses
from typing import Any

import keras

from keras_strategies._internal.types import Config
from keras_strategies.augmentation._common.affine_maps import ORDER
from keras_strategies.augmentation._image.geometry.random_affine import RandomAffine


@dataclasses.dataclass(frozen=True)
class Fused:
    """Arguments of a `RandomAffine`, and the order of what they do."""

    order: tuple[str, ...]
    factors: Config
    common: Config  # formats and dtype, in which all layers must agree
    resample: Config  # fill and interpolation; empty for flips
    seed: int | None

    def build(self) -> RandomAffine:
        rest = tuple(name for name in ORDER if name not in self.order)
        arguments = {**self.factors, **self.common, **self.resample}
        return RandomAffine(**arguments, seed=self.seed, order=self.order + rest)


def _plain(factor: Any) -> Any:
    return tuple(factor) if isinstance(factor, list | tuple) else factor


def _shear(factor: Any) -> Any:
    """Keras keeps a number `f` as `(-f, f)`; the sign is drawn all the same."""
    return factor[1] if factor[0] == -factor[1] else tuple(factor)


def _flip(layer: Any) -> dict[str, Any]:
    mode = layer.mode
    return {"flip_mode": "half_turn" if mode == "horizontal_and_vertical" else mode}


_KINDS = {
    keras.layers.RandomFlip: ("flip", _flip),
    keras.layers.RandomRotation: (
        "rotation",
        lambda layer: {"rotation_factor": _plain(layer.factor)},
    ),
    keras.layers.RandomTranslation: (
        "translation",
        lambda layer: {
            "translation_height_factor": _plain(layer.height_factor),
            "translation_width_factor": _plain(layer.width_factor),
        },
    ),
    keras.layers.RandomShear: (
        "shear",
        lambda layer: {
            "shear_x_factor": _shear(layer.x_factor),
            "shear_y_factor": _shear(layer.y_factor),
        },
    ),
    keras.layers.RandomZoom: (
        "zoom",
        lambda layer: {
            "zoom_height_factor": _plain(layer.height_factor),
            "zoom_width_factor": _plain(layer.width_factor),
        },
    ),
}


def describe(layer: Any) -> Fused | None:
    """`Fused` for one layer; `None` if it is of another class, or a subclass."""
    if type(layer) not in _KINDS:
        return None
    kind, factors = _KINDS[type(layer)]
    resample = {}
    if kind != "flip":
        names = ("fill_mode", "fill_value", "interpolation")
        resample = {name: getattr(layer, name) for name in names}
    common = {
        "data_format": layer.data_format,
        "bounding_box_format": layer.bounding_box_format,
        "dtype": layer.dtype_policy,
    }
    return Fused((kind,), factors(layer), common, resample, layer.seed)


def merge(first: Fused, second: Fused) -> tuple[Fused | None, str]:
    """`(both in one, "")`, or `(None, why not)`."""
    for name, value in first.common.items():
        if second.common[name] != value:
            pair = f"{value!r} and {second.common[name]!r}"
            return None, f"they differ in `{name}`, {pair}"
    if first.resample and second.resample:
        for name, value in first.resample.items():
            if name == "fill_value" and first.resample["fill_mode"] != "constant":
                continue
            if second.resample[name] != value:
                pair = f"{value!r} and {second.resample[name]!r}"
                return None, f"they differ in `{name}`, {pair}"
    order, factors = first.order, {**first.factors, **second.factors}
    (kind,) = second.order
    if kind in order:
        together = _together(kind, order, first.factors, second.factors)
        if together is None:
            return None, f"there are two of the kind {kind!r}"
        factors = {**first.factors, **together}
    else:
        order = (*order, kind)
    seed = second.seed if first.seed is None else first.seed
    resample = first.resample or second.resample
    return Fused(order, factors, first.common, resample, seed), ""


def _together(
    kind: str, order: tuple[str, ...], first: Config, second: Config
) -> Config | None:
    """Two neighbours of one kind that do different things, or `None`."""
    if order[-1] != kind:
        return None
    if kind == "flip":
        modes = {first["flip_mode"], second["flip_mode"]}
        if modes == {"horizontal", "vertical"}:
            return {"flip_mode": "horizontal_and_vertical"}
    if kind == "translation":
        summed = {}
        for name in second:
            still = [v for v in (first[name], second[name]) if v not in (0, (0, 0))]
            if len(still) > 1:
                return None
            summed[name] = still[0] if still else 0.0
        return summed
    return None
