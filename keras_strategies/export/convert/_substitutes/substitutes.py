"""Table of the operations that LiteRT lacks, and what stands for each."""

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_strategies.export.convert._substitutes import (
    _einsum,
    _elementwise,
    _erf,
    _structural,
)


@dataclasses.dataclass(frozen=True)
class Node:
    """What a substitute may depend on.

    Attributes:
        attributes: Attributes of the operation, plain values.
        constants: The value of each input that is a constant, else `None`.
        shapes: The shape of each input where it is known, else `None`.
        dtypes: The dtype name of each input.
    """

    attributes: Mapping[str, Any]
    constants: Sequence[Any]
    shapes: Sequence[Any]
    dtypes: Sequence[str]


class NotReplaceable(Exception):
    """A case of an operation that has no substitute."""


@dataclasses.dataclass(frozen=True)
class Substitute:
    """What stands for an operation.

    Attributes:
        make: Returns the function of the inputs for a node, or raises
            `NotReplaceable`.
        low: Smallest value that the function is checked on.
        high: Largest one.
        tolerance: Largest difference from the operation, relative to its largest
            value.
        is_elementwise: Whether it depends on the dtypes alone, so that one function
            serves every such operation of a model.
    """

    make: Callable[[Node], Callable[..., Any]]
    low: float = -4.0
    high: float = 4.0
    tolerance: float = 2e-6
    is_elementwise: bool = False


def _function(function, **settings):
    return Substitute(lambda node: function, is_elementwise=True, **settings)


def _roll(node):
    _, shift, axis = node.constants
    if shift is None or axis is None:
        raise NotReplaceable("its shift or axis is not a constant")
    if node.shapes[0] is None:
        raise NotReplaceable("the number of its axes is not known")
    shifts, axes = (np.atleast_1d(x).astype(int).tolist() for x in (shift, axis))
    rank = len(node.shapes[0])
    return _structural.roll(shifts, [entry % rank for entry in axes])


def _bitwise(function):
    def make(node):
        if set(node.dtypes) != {"int32"}:
            raise NotReplaceable("LiteRT shifts int32 only")
        return function

    return Substitute(make, -1e9, 1e9, 0.0, is_elementwise=True)


def _pool_3d(is_max):
    def make(node):
        steps = node.attributes
        if steps["data_format"] != b"NDHWC" or steps["ksize"][0] != 1:
            raise NotReplaceable("its channels are first")
        if node.shapes[0] is None or node.shapes[0][-1] is None:
            raise NotReplaceable("its shape is not known")
        return _structural.pool_3d(steps, is_max)

    return make


def _image_sizes(node):
    shape, sizes = node.shapes[0], node.constants[1]
    if shape is None or None in shape[1:] or sizes is None:
        raise NotReplaceable("the size of its images is not fixed in the graph")
    return [int(size) for size in sizes]


def _bicubic(node):
    if not node.attributes["half_pixel_centers"] or node.attributes["align_corners"]:
        raise NotReplaceable("it aligns corners")
    return _structural.resize(_image_sizes(node), "keyscubic", False, levels=1024)


def _area(node):
    if node.attributes["align_corners"]:
        raise NotReplaceable("it aligns corners")
    return _structural.resize(_image_sizes(node), "area", False)


def _scale_and_translate(node):
    sizes = _image_sizes(node)
    scale, translation = node.constants[2:4]
    shape = node.shapes[0]
    ratio = np.asarray(sizes) / shape[1:3]
    # `tf.image.resize` computes the ratio of the sizes in the graph: no constant.
    is_ratio = scale is None or np.allclose(scale, ratio, rtol=1e-5)
    if not is_ratio or translation is None or np.any(translation):
        raise NotReplaceable("it scales by another factor than its sizes say")
    kernel = node.attributes["kernel_type"].decode()
    return _structural.resize(sizes, kernel, bool(node.attributes["antialias"]))


def _transposed_convolution(node):
    kernel = node.shapes[1]
    if node.attributes["data_format"] != b"NHWC" or kernel is None or None in kernel:
        raise NotReplaceable("its kernel is not fixed")
    if node.attributes["padding"] not in (b"SAME", b"VALID"):
        raise NotReplaceable("its padding is written out")
    if max(node.attributes["dilations"]) == 1:
        raise NotReplaceable("it has no dilation")
    return _structural.transposed_convolution(node.attributes)


def _products(node):
    equation = node.attributes["equation"].decode()
    terms = equation.partition("->")[0].replace(" ", "").split(",")
    if "." in equation or "->" not in equation:
        raise NotReplaceable(f"its equation is {equation}")
    if any(shape is None for shape in node.shapes):
        raise NotReplaceable("the number of its axes is not known")
    for term, shape in zip(terms, node.shapes, strict=True):
        repeated = [i for i, label in enumerate(term) if term.count(label) > 1]
        if repeated and (shape is None or any(shape[i] is None for i in repeated)):
            raise NotReplaceable("the size of its diagonal is not fixed")
    return _einsum.einsum(equation)


def _left_shift(node):
    if set(node.dtypes) != {"int32"}:
        raise NotReplaceable("LiteRT multiplies int32 only")
    return _elementwise.left_shift


def _cumulative_product(node):
    axis, shape = node.constants[1], node.shapes[0]
    if axis is None or shape is None or shape[int(axis)] is None:
        raise NotReplaceable("the size of its axis is not fixed")
    return _structural.cumulative_product(
        int(axis) % len(shape), node.attributes["exclusive"], node.attributes["reverse"]
    )


def _projected_image(node):
    sizes, transform = _image_sizes(_with_second(node)), node.constants[1]
    if transform is None or transform.size != 8:
        raise NotReplaceable("its transform is not one constant")
    mode = node.attributes["fill_mode"].decode()
    if mode != "CONSTANT":
        raise NotReplaceable(f"it fills by {mode.lower()}")
    how = node.attributes["interpolation"].decode()
    shape = node.shapes[0][1:3]
    return _structural.projected_image(shape, sizes, transform.ravel(), how)


def _with_second(node):
    """The node with its third input, the sizes, in the place of the second."""
    return dataclasses.replace(node, constants=[None, node.constants[2]])


def _determinant(node):
    shape = node.shapes[0]
    if shape is None or shape[-1] is None or shape[-1] > 3:
        raise NotReplaceable("its matrices have more than three rows")
    return _structural.determinant


def _insertion_points(is_lower):
    def make(node):
        if node.constants[0] is None:
            raise NotReplaceable("its sorted values are not constant")
        return _structural.insertion_points(is_lower, _dtype_name(node, "out_type"))

    return Substitute(make, tolerance=0.0)


def _dtype_name(node, attribute):
    import tensorflow as tf

    return tf.as_dtype(node.attributes[attribute]).name


def _in_float32(name, **settings):
    """Arithmetic of float64, which LiteRT converts but does not compute."""

    def make(node):
        import tensorflow as tf

        if set(node.dtypes) != {"float64"}:
            raise NotReplaceable("LiteRT has it for float32")
        return _elementwise.in_float32(operator.attrgetter(name)(tf))

    return Substitute(make, is_elementwise=True, **settings)


#: Operation of TensorFlow -> what stands for it.
SUBSTITUTES: dict[str, Substitute] = {
    # Of float64 only, as for the positions of quantiles.
    **{
        op: _in_float32(name)
        for op, name in {
            "AddV2": "add",
            "Ceil": "math.ceil",
            "Floor": "math.floor",
            "Maximum": "maximum",
            "Minimum": "minimum",
            "Mul": "multiply",
            "RealDiv": "divide",
            "Sub": "subtract",
        }.items()
    },
    "Acos": _function(_elementwise.acos, low=-0.999, high=0.999),
    "Acosh": _function(_elementwise.acosh, low=1.01, high=20.0),
    "Asin": _function(_elementwise.asin, low=-0.999, high=0.999),
    "Asinh": _function(_elementwise.asinh, low=-20.0, high=20.0),
    "Atan": _function(_elementwise.atan, low=-20.0, high=20.0),
    "Atanh": _function(_elementwise.atanh, low=-0.99, high=0.99),
    "AvgPool3D": Substitute(_pool_3d(False)),
    "BitwiseAnd": _bitwise(_elementwise.bitwise_and),
    "BitwiseOr": _bitwise(_elementwise.bitwise_or),
    "Conv2DBackpropInput": Substitute(_transposed_convolution, tolerance=1e-5),
    "Cosh": _function(_elementwise.cosh),
    "Cumprod": Substitute(_cumulative_product, tolerance=1e-5),
    "Einsum": Substitute(_products, tolerance=1e-5),
    "Erf": _function(_erf.erf),
    "Erfc": _function(_erf.erfc),
    "ImageProjectiveTransformV3": Substitute(_projected_image, 0.0, 1.0, 1e-4),
    "LeftShift": Substitute(_left_shift, 0.0, 31.0, 0.0, is_elementwise=True),
    "LowerBound": _insertion_points(True),
    "MatrixDeterminant": Substitute(_determinant, tolerance=1e-5),
    "MaxPool3D": Substitute(_pool_3d(True)),
    "RGBToHSV": Substitute(lambda node: _structural.rgb_to_hsv, 0.0, 1.0),
    "ResizeArea": Substitute(_area, 0.0, 1.0, 1e-5),
    "ResizeBicubic": Substitute(_bicubic, 0.0, 1.0, 1e-5),
    "Roll": Substitute(_roll, tolerance=0.0),
    "ScaleAndTranslate": Substitute(_scale_and_translate, 0.0, 1.0, 1e-5),
    "Sinh": _function(_elementwise.sinh),
    "Tan": _function(_elementwise.tan, low=-1.5, high=1.5),
    "UpperBound": _insertion_points(False),
}
