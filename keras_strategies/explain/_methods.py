"""The explanations that are chosen by name."""

from collections.abc import Callable
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.explain import _cams, _gradients, _perturbations

#: Functions of a model, inputs and a target that return a map of the inputs.
METHODS: dict[str, Callable[..., Any]] = {
    "saliency": _gradients.saliency,
    "grad_times_input": _gradients.grad_times_input,
    "integrated_gradients": _gradients.integrated_gradients,
    "smooth_grad": _gradients.smooth_grad,
    "grad_cam": _cams.grad_cam,
    "grad_cam_plus_plus": _cams.grad_cam_plus_plus,
    "layer_cam": _cams.layer_cam,
    "score_cam": _cams.score_cam,
    "eigen_cam": _cams.eigen_cam,
    "occlusion": _perturbations.occlusion,
    "rise": _perturbations.rise,
}


def method_of(name: str, method: Any) -> Callable[..., Any]:
    """The function of a method that is given by its name or as a function."""
    if isinstance(method, str):
        return METHODS[checks.choice(name, method, tuple(METHODS))]
    if not callable(method):
        checks.fail(
            f"`{name}` must be a function or one of {', '.join(METHODS)}",
            error=TypeError,
            **{name: method},
        )
    return method


def name_of(method: Any) -> str:
    """The name of a method that is given by it or as a function."""
    return method if isinstance(method, str) else getattr(method, "__name__", "method")


def run(
    method: Callable[..., Any],
    model: keras.Model,
    inputs: Any,
    target: Any,
    **options: Any,
) -> Any:
    """The maps of a method; `eigen_cam` has no target and no logits."""
    if method is _cams.eigen_cam:
        options.pop("logits", None)
        return method(model, inputs, **options)
    return method(model, inputs, target, **options)
