"""An optimizer whose gradients and updates are changed on the way."""

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies.optimizers._selection import path_of, selection
from keras_strategies.optimizers._wrapper import OptimizerWrapper
from keras_strategies.optimizers.transform import Transform


@serializable
class GradientTransform(OptimizerWrapper):
    """Applies transforms to the gradients before any optimizer uses them.

    Adaptive clipping, centralization, noise, layers that learn slower or are frozen:
    each is a small object, and they work with every optimizer of Keras, in `compile`,
    in mixed precision (Keras puts its loss scaling around this one) and on every
    backend. Learning rate, iterations, weight decay and clipping are those of the
    inner optimizer; its own clipping comes after the transforms.

    ```
    G <- transform_k(... transform_1(G)),   w_new = w + m * (inner_update(w, G) - w)
    ```

    with `G` the gradients of all weights and `m` the product of the multipliers of
    the transforms, 0 for frozen weights. Variables of the transforms are saved with
    the optimizer: a loaded model goes on as the uninterrupted run would. With
    gradient accumulation in the inner optimizer the transforms see each micro-batch.

    Args:
        inner_optimizer: A Keras optimizer or its name. Its learning rate may be a
            schedule.
        transforms: List of transforms of this module, or subclasses of `Transform`,
            in the order in which they act.
        name: Name of the optimizer. Defaults to `None`, the name of the class.

    Raises:
        TypeError: If `transforms` has something else in it.
        ValueError: If there is no transform, or one that another optimizer has.

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

    def __init__(self, inner_optimizer, transforms, name=None):
        super().__init__(inner_optimizer, name=name)
        self.transforms = _checked_transforms(transforms)
        self._passing = []  # transforms for one fit only, after the others; not saved

    def _build(self, variables):
        for transform in self.transforms:
            transform.attach(self, variables)
        # A pattern may be one for weights that do not train at present.
        weights = [*variables, *keras_private.weights_aside(self)]
        self._multipliers = self._vector(
            "update_multipliers",
            [transform.multipliers(weights) for transform in self.transforms],
            np.prod,
            len(variables),
        )
        self._frozen = self._vector(
            "update_frozen",
            [transform.frozen(weights) for transform in self.transforms],
            np.any,
            len(variables),
        )

    def _vector(self, name, given, join, count):
        """A variable with a number for each weight; `None` if no transform has one."""
        given = [values for values in given if values is not None]
        if not given:
            return None
        values = join(np.array(given, "float32"), axis=0).astype("float32")[:count]
        # Not assigned afterwards: `fit` may build while it traces.
        return self.add_variable(
            values.shape,
            initializer=keras.initializers.Constant(values),
            dtype="float32",
            name=name,
        )

    def _update(self, gradients, variables):
        pairs = zip(gradients, variables, strict=True)
        pairs = [(g, v) for g, v in pairs if g is not None]
        if not pairs:  # the inner optimizer's error
            self.inner_optimizer.apply(gradients, variables)
            return
        variables = [variable for _, variable in pairs]
        gradients, accepted = self._transformed([g for g, _ in pairs], variables)
        shares = self._shares(variables)
        touched = [] if shares is None else variables
        if accepted is not None:
            touched = [*variables, *self.inner_optimizer.variables]
        before = [_copy(variable) for variable in touched]
        self.inner_optimizer.apply(gradients, variables)
        if shares is not None:
            for variable, old, share in zip(variables, before, shares, strict=False):
                variable.assign(_part(old, ops.convert_to_tensor(variable), share))
        if accepted is not None:
            for variable, old in zip(touched, before, strict=True):
                new = ops.convert_to_tensor(variable)
                variable.assign(ops.where(accepted, new, old))

    def _transformed(self, gradients, variables):
        """The changed gradients, and whether to update: a tensor, or `None`."""
        scale = self.loss_scale_factor
        gradients = [ops.convert_to_tensor(g) for g in gradients]  # sparse ones too
        if scale is not None:
            gradients = [g / scale for g in gradients]
        accepted = None
        for transform in [*self.transforms, *self._passing]:
            gradients = transform.transform(gradients, variables, self.iterations)
            good = transform.accept(gradients, variables, self.iterations)
            if good is not None:
                accepted = good if accepted is None else ops.logical_and(accepted, good)
        if scale is not None:
            gradients = [g * scale for g in gradients]
        return gradients, accepted

    def _shares(self, variables):
        """How much of its update each weight keeps: scalar tensors, or `None`."""
        if self._multipliers is None and self._frozen is None:
            return None
        share = 1.0
        if self._multipliers is not None:
            share = share * ops.convert_to_tensor(self._multipliers)
        if self._frozen is not None:
            share = share * (1.0 - ops.convert_to_tensor(self._frozen))
        return [share[keras_private.slot(self, variable)] for variable in variables]

    def add_passing(self, transform):
        """Adds a transform that is neither in the config nor saved: for callbacks."""
        self._passing = [*self._passing, transform]

    def remove_passing(self, transform):
        """Undoes `add_passing`; does nothing if it is not there."""
        self._passing = [item for item in self._passing if item is not transform]

    def freeze(self, where):
        """Freezes weights from the next step on; needs `Freeze` in `transforms`.

        Args:
            where: A regular expression searched in the paths of the variables, a
                layer, or a variable.
        """
        self._set("_frozen", "Freeze", where, 1.0)

    def unfreeze(self, where):
        """Lets weights learn again from the next step on.

        Args:
            where: As in `freeze`.
        """
        self._set("_frozen", "Freeze", where, 0.0)

    def frozen(self):
        """Returns the paths of the frozen weights."""
        values = self._numbers("_frozen", "Freeze")
        return [path for path, value in values.items() if value]

    def set_multiplier(self, where, value):
        """Changes how much of their updates weights keep, from the next step on.

        Needs `LearningRateMultipliers` or `LayerwiseDecay` in `transforms`.

        Args:
            where: As in `freeze`.
            value: Multiplier, at least 0.
        """
        value = checks.real("value", value, low=0)
        self._set("_multipliers", "LearningRateMultipliers", where, value)

    def multipliers(self):
        """Returns the multipliers as a dict from the paths of the weights."""
        return self._numbers("_multipliers", "LearningRateMultipliers")

    def _set(self, attribute, needed, where, value):
        vector, variables = self._known(attribute, needed)
        chosen = selection(where, variables)
        values = keras.ops.convert_to_numpy(vector)
        vector.assign(np.where(chosen, np.float32(value), values))

    def _numbers(self, attribute, needed):
        vector, variables = self._known(attribute, needed)
        values = keras.ops.convert_to_numpy(vector).tolist()
        return dict(zip(map(path_of, variables), values, strict=True))

    def _known(self, attribute, needed):
        if not self.built:
            checks.fail(
                "The optimizer must be built to know the weights",
                fix="Call optimizer.build(model.trainable_variables) first.",
                optimizer=self.name,
            )
        vector = getattr(self, attribute)
        if vector is None:
            checks.fail(
                f"This needs `{needed}` among the transforms",
                fix=f"Make the optimizer with optimizers.{needed}() in `transforms`.",
                transforms=[transform.name for transform in self.transforms],
            )
        return vector, keras_private.updated_variables(self)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "transforms": [serialize(transform) for transform in self.transforms],
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        config["transforms"] = [
            keras.saving.deserialize_keras_object(item, custom_objects=custom_objects)
            for item in config["transforms"]
        ]
        return super().from_config(config, custom_objects)


def _checked_transforms(transforms):
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


def _copy(variable):
    # Torch updates in place: a tensor of the variable would change with it.
    return ops.copy(ops.stop_gradient(ops.convert_to_tensor(variable)))


def _part(old, new, share):
    """`share` of the way from `old` to `new`, exact at 0 and 1."""
    part = old + ops.cast(share, old.dtype) * (new - old)
    return ops.where(share == 0, old, ops.where(share == 1, new, part))
