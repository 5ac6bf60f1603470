"""Optimizer wrapper that applies gradient transforms before the inner optimizer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.select import Selection, Selector, variable_targets
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights.values import tensor_copy
from keras_strategies.optimizers._wrapper import OptimizerWrapper
from keras_strategies.optimizers.transform import Transform


@serializable
class GradientTransform(OptimizerWrapper):
    """Applies transforms to the gradients before an optimizer uses them.

    Adaptive clipping, centralization, noise, learning rates per layer and frozen layers
    are small objects that can be combined. They work with every Keras optimizer, in
    `compile`, in mixed precision (Keras wraps this optimizer in its loss scaling) and
    on every backend. Learning rate, iterations, weight decay and clipping are those of
    the inner optimizer; its own clipping follows the transforms.

    ```
    G <- transform_k(... transform_1(G)),   w_new = w + m * (inner_update(w, G) - w)
    ```

    with `G` the gradients of all weights and `m` the product of the multipliers of
    the transforms, 0 for frozen weights. Variables of the transforms are saved with
    the optimizer, so that a loaded model continues exactly as an uninterrupted run.
    With gradient accumulation in the inner optimizer the transforms receive the
    gradients of each micro-batch.

    Args:
        inner_optimizer: A Keras optimizer or its name. Its learning rate may be a
            schedule.
        transforms: List of transforms of this module, or subclasses of `Transform`,
            in the order in which they are applied.
        name: Name of the optimizer. Defaults to `None`, the name of the class.

    Raises:
        TypeError: If an item of `transforms` is not a transform.
        ValueError: If there is no transform, or one that belongs to another optimizer.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import optimizers

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    optimizer = optimizers.GradientTransform(
        keras.optimizers.AdamW(1e-3),
        [optimizers.Centralize(), optimizers.AdaptiveClip(0.05)],
    )
    model.compile(optimizer, loss="mse")
    model.fit(np.ones((16, 8)), np.ones((16, 2)), verbose=0)
    ```
    """

    # Variables with one number a weight, for a build for other weights.
    _PER_WEIGHT = ("_multipliers", "_frozen")

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str,
        transforms: Sequence[Transform],
        name: str | None = None,
    ) -> None:
        super().__init__(inner_optimizer, name=name)
        self.transforms: list[Transform] = _checked_transforms(transforms)
        # Transforms that callbacks add for one `fit`, applied last and not saved.
        self._temporary = []

    def _build(self, variables: Sequence[keras.Variable]) -> None:
        for transform in self.transforms:
            transform.attach(self, variables)
        # A pattern may be one for weights that do not train at present.
        weights = [*variables, *keras_private.weights_aside(self)]
        self._multipliers = self._vector(
            "update_multipliers",
            [t.initial_multipliers(weights) for t in self.transforms],
            np.prod,
            len(variables),
        )
        self._frozen = self._vector(
            "update_frozen",
            [t.initially_frozen(weights) for t in self.transforms],
            np.any,
            len(variables),
        )

    def _vector(
        self,
        name: str,
        rows: Sequence[Sequence[float] | None],
        reduce: Callable[..., Any],
        count: int,
    ) -> keras.Variable | None:
        """Creates a variable with a number for each weight, or returns `None`.

        `rows` has the numbers of each transform, or `None` for those without.
        """
        rows = [row for row in rows if row is not None]
        if not rows:
            return None
        values = reduce(np.array(rows, "float32"), axis=0).astype("float32")[:count]
        # By an initializer and not by `assign`: `fit` may build while it traces.
        return self.add_variable(
            values.shape,
            initializer=keras.initializers.Constant(values),
            dtype="float32",
            name=name,
        )

    def _update(self, gradients: list[Any], variables: list[Any]) -> None:
        pairs = zip(gradients, variables, strict=True)
        pairs = [(g, v) for g, v in pairs if g is not None]
        if not pairs:  # raises the error of the inner optimizer
            self.inner_optimizer.apply(gradients, variables)
            return
        variables = [variable for _, variable in pairs]
        gradients, accepted = self._transformed([g for g, _ in pairs], variables)
        factors = self._update_factors(variables)
        # What may be undone is copied: the weights, for skipped steps all state.
        restorable = [] if factors is None else variables
        if accepted is not None:
            restorable = [*variables, *self.inner_optimizer.variables]
        before = [tensor_copy(variable) for variable in restorable]
        self.inner_optimizer.apply(gradients, variables)
        if factors is not None:
            # The weights are the first ones of `before`.
            for variable, old, factor in zip(variables, before, factors, strict=False):
                new = ops.convert_to_tensor(variable)
                variable.assign(_interpolate(old, new, factor))
        if accepted is not None:
            for variable, old in zip(restorable, before, strict=True):
                new = ops.convert_to_tensor(variable)
                variable.assign(ops.where(accepted, new, old))

    def _transformed(
        self, gradients: Sequence[Tensor], variables: Sequence[keras.Variable]
    ) -> tuple[list[Tensor], Tensor | None]:
        """Returns the transformed gradients and whether to update, or `None`."""
        # With `loss_scale_factor` the gradients are scaled; transforms see true ones.
        scale = self.loss_scale_factor
        gradients = list(gradients)
        if scale is not None:
            gradients = [g / scale for g in gradients]
        accepted = None
        for transform in [*self.transforms, *self._temporary]:
            gradients = transform.transform(gradients, variables, self.iterations)
            vote = transform.accept(gradients, variables, self.iterations)
            if vote is not None:
                accepted = vote if accepted is None else ops.logical_and(accepted, vote)
        if scale is not None:
            gradients = [g * scale for g in gradients]
        return gradients, accepted

    def _update_factors(
        self, variables: Sequence[keras.Variable]
    ) -> list[Tensor] | None:
        """Returns the factor of each weight's update, scalar tensors, or `None`."""
        if self._multipliers is None and self._frozen is None:
            return None
        factors = 1.0
        if self._multipliers is not None:
            factors = factors * ops.convert_to_tensor(self._multipliers)
        if self._frozen is not None:
            factors = factors * (1.0 - ops.convert_to_tensor(self._frozen))
        return [factors[keras_private.slot(self, variable)] for variable in variables]

    def add_temporary(self, transform: Transform) -> None:
        """Adds a transform that is neither in the config nor saved, for callbacks.

        Args:
            transform: A transform that is attached already; it is applied last.
        """
        self._temporary = [*self._temporary, transform]

    def remove_temporary(self, transform: Transform) -> None:
        """Removes a transform added by `add_temporary`, if it is there.

        Args:
            transform: The transform.
        """
        self._temporary = [item for item in self._temporary if item is not transform]

    def freeze(
        self, include: Selector | None = None, exclude: Selector | None = None
    ) -> None:
        """Freezes weights from the next step on; requires `Freeze` in `transforms`.

        Args:
            include: The variables to freeze: a regular expression that is searched in
                the path of a variable, a layer or model, a variable, a function of a
                variable, or a list of these. Defaults to `None`, all.
            exclude: The variables not to freeze, as in `include`, which it overrides.
                Defaults to `None`.
        """
        self._set("_frozen", "Freeze", Selection(include, exclude), 1.0)

    def unfreeze(
        self, include: Selector | None = None, exclude: Selector | None = None
    ) -> None:
        """Unfreezes weights from the next step on; requires `Freeze` in `transforms`.

        Args:
            include: The variables to unfreeze, as in `freeze`. Defaults to `None`, all.
            exclude: The variables that stay as they are. Defaults to `None`.
        """
        self._set("_frozen", "Freeze", Selection(include, exclude), 0.0)

    def frozen(self) -> list[str]:
        """Returns the paths of the frozen weights."""
        values = self._values("_frozen", "Freeze")
        return [path for path, value in values.items() if value]

    def set_multiplier(
        self,
        value: float,
        include: Selector | None = None,
        exclude: Selector | None = None,
    ) -> None:
        """Sets the multiplier of weights from the next step on.

        Requires `LearningRateMultipliers` or `LayerwiseDecay` in `transforms`.

        Args:
            value: Multiplier of the update, at least 0.
            include: The variables, as in `freeze`. Defaults to `None`, all.
            exclude: The variables that keep their multiplier. Defaults to `None`.
        """
        value = checks.real("value", value, low=0)
        selection = Selection(include, exclude)
        self._set("_multipliers", "LearningRateMultipliers", selection, value)

    def multipliers(self) -> dict[str, float]:
        """Returns a dict from the path of each weight to its multiplier."""
        return self._values("_multipliers", "LearningRateMultipliers")

    def _set(
        self, attribute: str, transform: str, selection: Selection, value: float
    ) -> None:
        vector, variables = self._vector_of(attribute, transform)
        selected = selection.mask(variable_targets(variables), "variable")
        values = keras.ops.convert_to_numpy(vector)
        vector.assign(np.where(selected, np.float32(value), values))

    def _values(self, attribute: str, transform: str) -> dict[str, float]:
        vector, variables = self._vector_of(attribute, transform)
        values = keras.ops.convert_to_numpy(vector).tolist()
        paths = [target.path for target in variable_targets(variables)]
        return dict(zip(paths, values, strict=True))

    def _vector_of(
        self, attribute: str, transform: str
    ) -> tuple[keras.Variable, list[keras.Variable]]:
        """Returns the variable of an attribute and the weights it has numbers for."""
        if not self.built:
            checks.fail(
                "The optimizer must be built to select weights",
                fix="Call optimizer.build(model.trainable_variables) first.",
                optimizer=self.name,
            )
        vector = getattr(self, attribute)
        if vector is None:
            checks.fail(
                f"This requires `{transform}` in `transforms`",
                fix=f"Construct the optimizer with optimizers.{transform}().",
                transforms=[item.name for item in self.transforms],
            )
        return vector, keras_private.updated_variables(self)

    def get_config(self) -> Config:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "transforms": [serialize(transform) for transform in self.transforms],
        }

    @classmethod
    def from_config(
        cls, config: Config, custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        config = dict(config)
        config["transforms"] = [
            keras.saving.deserialize_keras_object(item, custom_objects=custom_objects)
            for item in config["transforms"]
        ]
        return super().from_config(config, custom_objects)


def _checked_transforms(transforms: Any) -> list[Transform]:
    checks.instance(
        "transforms", transforms, (list, tuple), fix="Give a list of transforms."
    )
    if not transforms:
        checks.fail(
            "`transforms` must have at least one transform",
            fix="Without transforms, use the inner optimizer itself.",
            transforms=transforms,
        )
    for position, transform in enumerate(transforms):
        checks.instance(
            f"transforms[{position}]",
            transform,
            Transform,
            fix="Give objects such as optimizers.Centralize().",
        )
    return list(transforms)


def _interpolate(old: Tensor, new: Tensor, factor: Tensor) -> Tensor:
    """Returns `old + factor * (new - old)`, exactly `old` at 0 and `new` at 1."""
    mixed = old + ops.cast(factor, old.dtype) * (new - old)
    return ops.where(factor == 0, old, ops.where(factor == 1, new, mixed))
