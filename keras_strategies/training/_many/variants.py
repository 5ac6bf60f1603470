"""What members of a joint training differ in."""

import contextlib
import dataclasses
import difflib
import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.interception import replacing
from keras_strategies._internal.select import Selection, layer_targets
from keras_strategies._internal.traversal import all_layers, base_optimizers

_KEYS = ("seed", "learning_rate", "dropout", "l1", "l2", "weight_decay")


@dataclasses.dataclass(frozen=True)
class Variant:
    """The numbers of one member; `None` is what the model has.

    Attributes:
        seed: Seed of the initial weights, and of what is random in training.
        learning_rate: Learning rate of the optimizer.
        dropout: Rate of all dropout layers, or a dict from a layer's name or pattern
            of its path to its rate.
        l1: Factor of all regularizers that have one, or a dict by layer.
        l2: The same for the square.
        weight_decay: Weight decay of the optimizer.
    """

    seed: int
    learning_rate: float | None = None
    dropout: Any = None
    l1: Any = None
    l2: Any = None
    weight_decay: float | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """What is given, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @property
    def constants(self) -> str:
        """What a compiled step has as constants, unless they are held as variables."""
        return repr((self.dropout, self.l1, self.l2, self.weight_decay))


def checked_variants(variants: Any, seed: int) -> list[Variant]:
    """Checks variants: a number of them, or a dict for each."""
    if isinstance(variants, int) and not isinstance(variants, bool):
        checks.integer("variants", variants, low=1)
        variants = [{} for _ in range(variants)]
    checks.instance("variants", variants, (list, tuple))
    if not variants:
        checks.fail("`variants` must have a dict for each member", variants=variants)
    return [_checked(number, item, seed) for number, item in enumerate(variants)]


def _checked(number: int, item: Any, seed: int) -> Variant:
    name = f"variants[{number}]"
    checks.instance(name, item, Mapping)
    for key in item:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, 1)
            checks.fail(
                f"`{name}` must have names of {', '.join(_KEYS)}",
                fix=f"Did you mean {near[0]!r}?" if near else "",
                received=key,
            )
    values = {"seed": seed + number, **item}
    checks.integer(f"{name}['seed']", values["seed"], low=0, high=2**32 - 1)
    checks.real(
        f"{name}['learning_rate']",
        values.get("learning_rate"),
        low=0,
        low_open=True,
        optional=True,
    )
    for key in _KEYS[2:]:
        value, high = values.get(key), 1 if key == "dropout" else None
        by_layer = isinstance(value, Mapping) and key != "weight_decay"
        rates = value.values() if by_layer else [value]
        for rate in rates:
            checks.real(
                f"{name}[{key!r}]",
                rate,
                low=0,
                high=high,
                high_open=True,
                optional=True,
            )
    return Variant(**values)


def check_applies(model: keras.Model, variants: Sequence[Variant]) -> None:
    """Checks that the model has what the variants set."""
    constants = Constants(model)
    for variant in variants:
        with constants.of(variant):
            pass
        if variant.learning_rate is not None:
            _rates(model)


def set_learning_rate(model: keras.Model, variant: Variant) -> None:
    """Sets the learning rate of the model's optimizer, if the variant has one."""
    if variant.learning_rate is not None:
        for optimizer in _rates(model):
            optimizer.learning_rate = variant.learning_rate


def _rates(model):
    optimizers = base_optimizers(model.optimizer)
    for optimizer in optimizers:
        rate = optimizer.get_config().get("learning_rate")
        if isinstance(rate, Mapping):
            checks.fail(
                "`learning_rate` of a variant needs an optimizer without a schedule",
                fix="Compile with a number, or leave `learning_rate` out.",
                schedule=rate.get("class_name"),
            )
    return optimizers


class Constants:
    """The numbers of a model that variants set, where they are when it is built.

    Args:
        model: The model with its own numbers.
    """

    def __init__(self, model: keras.Model):
        self._model = model
        self._places = {
            "dropout": _dropouts(model),
            "l1": _regularizers(model, "l1"),
            "l2": _regularizers(model, "l2"),
        }
        places = [place[1:] for part in self._places.values() for place in part]
        for optimizer in base_optimizers(model.optimizer):
            places.append((optimizer, "weight_decay"))
        self._own = [
            (thing, attribute, vars(thing)[attribute])
            for thing, attribute in places
            if attribute in vars(thing)
        ]

    def copy_to(self, other: keras.Model, variant: Variant) -> None:
        """Gives a copy of the model the numbers of a variant, to keep."""
        with self.of(variant):
            numbers = [vars(thing)[attribute] for thing, attribute, _ in self._own]
        places = Constants(other)._own
        for (thing, attribute, _), number in zip(places, numbers, strict=True):
            setattr(thing, attribute, number)

    @contextlib.contextmanager
    def of(self, variant: Variant) -> Iterator[None]:
        """Sets those of a variant inside the block, and the model's own beside."""
        chosen = list(self._own)
        chosen += [
            item
            for name, places in self._places.items()
            for item in _chosen(self._model, name, places, getattr(variant, name))
        ]
        if variant.weight_decay is not None:
            for optimizer in base_optimizers(self._model.optimizer):
                chosen.append((optimizer, "weight_decay", variant.weight_decay))
        with contextlib.ExitStack() as stack:
            for thing, attribute, number in chosen:
                stack.enter_context(replacing(thing, attribute, number))
            yield


def _dropouts(model):
    """`(layer, object, attribute)` of each rate of a dropout."""
    places = []
    for layer in all_layers(model):
        for attribute in ("rate", "dropout", "recurrent_dropout", "_dropout"):
            value = vars(layer).get(attribute)
            is_dropout = attribute != "rate" or "Dropout" in type(layer).__name__
            if is_dropout and isinstance(value, numbers.Real) and value > 0:
                places.append((layer, layer, attribute))
    return places


def _regularizers(model, factor):
    """`(layer, regularizer, attribute)` of each regularizer with such a factor."""
    places = []
    for layer in all_layers(model):
        for name, regularizer in vars(layer).items():
            is_one = name.endswith("_regularizer") and regularizer is not None
            if is_one and factor in getattr(regularizer, "__dict__", {}):
                places.append((layer, regularizer, factor))
    return places


def _chosen(model, name, places, value):
    """`(object, attribute, number)` of each number that a variant sets."""
    if value is None:
        return []
    rates = dict(value) if isinstance(value, Mapping) else {None: value}
    targets = layer_targets(model)
    chosen = []
    for selector, rate in rates.items():
        if selector is None:
            mask = [True] * len(targets)
        else:
            # What holds for a layer holds for what it is made of, such as a cell.
            selection = Selection(selector, names=(name, "exclude"))
            mask = selection.mask(targets)
        layers = {
            id(target.item)
            for target, is_in in zip(targets, mask, strict=True)
            if is_in
        }
        these = [
            (thing, key, rate) for layer, thing, key in places if id(layer) in layers
        ]
        if not these:
            checks.fail(
                f"the model must have a layer whose {name} a variant can set",
                fix="Build it with a value greater than 0.",
                **{name: value},
                layers=[layer.name for layer, _, _ in places],
            )
        others = [place for place in places if id(place[0]) not in layers]
        _refuse_shared(name, value, these, others)
        chosen += these
    return chosen


def _refuse_shared(name, value, chosen, others):
    """Refuses to set what layers that were not selected have as the same object."""
    things = {id(thing) for thing, _, _ in chosen}
    sharing = [layer.name for layer, thing, _ in others if id(thing) in things]
    if sharing:
        checks.fail(
            f"layers must have {name} of their own for a dict by layer",
            fix="Give each layer a new regularizer, or select all that share it.",
            **{name: value},
            share_it=sharing,
        )
