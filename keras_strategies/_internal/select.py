"""Selection of layers and weights by `include=` and `exclude=`.

Every public function that acts on some layers or weights of a model takes the same
two arguments. Each is `None`, or one entry or a list of entries:

- a regular expression (`str` or `re.Pattern`), which is searched in the path;
- a layer or a model, which stands for itself and for all in it;
- a `keras.Variable`, which stands for itself;
- a function of a layer (of a variable in optimizers) that returns a boolean.

The path of a layer is its name behind the names of the layers around it, without the
model itself: `"backbone/conv_1"`. The path of a weight is that of its layer and its
own name: `"backbone/conv_1/kernel"`. What holds for a layer holds for its weights and
for the layers in it, so that `"^backbone$"` selects all of the backbone.

In an optimizer only variables are known, by the paths that Keras gave them. There, a
string that is the name of a layer or model selects all of its variables as well.
"""

import dataclasses
import gc
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import direct_layers

Entry: TypeAlias = (
    str | re.Pattern[str] | keras.layers.Layer | keras.Variable | Callable[[Any], bool]
)
Selector: TypeAlias = Entry | Sequence[Entry]

_SEVERAL = (list, tuple, set, frozenset)


@dataclasses.dataclass(frozen=True)
class Target:
    """A layer or weight that may be selected.

    Attributes:
        path: Its path.
        item: The layer or weight itself.
        subject: What a function of the user is called with.
        around: `(path, layer)` of the layers around it, from the outside to the
            inside.
        names: Names of the layers around it, where only variables are known.
    """

    path: str
    item: Any
    subject: Any
    around: tuple[tuple[str, Any], ...] = ()
    names: "LayerNames | None" = None


class LayerNames:
    """Which variables belong to a layer with a name, where only variables are known.

    The path of a variable has the names of the layers around it at the time it was
    created: not that of a backbone that was built before the model around it. Neither
    a variable nor an optimizer refers to its model, so the layers are searched among
    the living objects, and only for a selector that is a plain name.
    """

    _NAME = re.compile(r"[\w.\-/ ]+")

    def __init__(self, variables: Iterable[Any]):
        self._variables = {id(variable) for variable in variables}
        self._members: dict[str, set[int]] = {}

    def __call__(self, name: str, variable: Any) -> bool:
        """Whether a variable is in a layer with this name."""
        if not self._NAME.fullmatch(name):
            return False
        if name not in self._members:
            self._members[name] = self._search(name)
        return id(variable) in self._members[name]

    def _search(self, name):
        members = set()
        for item in gc.get_objects():
            # By its type: other objects may answer `isinstance` with an import.
            if not issubclass(type(item), keras.layers.Layer):
                continue
            # A layer whose constructor has not ended has no name yet.
            if item.__dict__.get("name") == name and "_layers" in item.__dict__:
                members.update(id(weight) for weight in item.weights)
        return members & self._variables


def layer_targets(model: keras.Model) -> list[Target]:
    """Returns every layer below `model` once, containers before what is in them."""
    return list(_walk(model, "", (), {id(model)}))


def _walk(layer, prefix, around, seen) -> Iterator[Target]:
    for inner in direct_layers(layer):
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        target = Target(prefix + inner.name, inner, inner, around)
        yield target
        inside = (*around, (target.path, inner))
        yield from _walk(inner, f"{target.path}/", inside, seen)


def weight_target(layer: Target, weight: keras.Variable) -> Target:
    """Returns the target of a weight that belongs to the layer of a target itself.

    A layer without a path is the model: its own weights have no layer around them.
    """
    if not layer.path:
        return Target(weight.name, weight, layer.subject)
    path = f"{layer.path}/{weight.name}"
    around = (*layer.around, (layer.path, layer.item))
    return Target(path, weight, layer.subject, around)


def weight_targets(model: keras.Model) -> list[Target]:
    """Returns every weight of a model once, in the order of its layers."""
    targets, seen = [], set()
    for layer in [Target("", model, model), *layer_targets(model)]:
        own = {id(w) for inner in direct_layers(layer.item) for w in inner.weights}
        for weight in layer.item.weights:
            if id(weight) not in own and id(weight) not in seen:
                seen.add(id(weight))
                targets.append(weight_target(layer, weight))
    return targets


def variable_targets(variables: Iterable[Any]) -> list[Target]:
    """Targets where only variables are known, as in an optimizer."""
    variables = list(variables)
    names = LayerNames(variables)
    return [Target(getattr(v, "path", v.name), v, v, names=names) for v in variables]


class Selection:
    """Which targets `include` and `exclude` select; `exclude` wins.

    Args:
        include: A selector, or `None` for everything.
        exclude: A selector, or `None` for nothing.
        inside: Whether what is selected stands for all in it as well.
        names: Names of the two arguments in errors.
    """

    def __init__(
        self,
        include: Selector | None = None,
        exclude: Selector | None = None,
        *,
        inside: bool = True,
        names: tuple[str, str] = ("include", "exclude"),
    ):
        self.names = names
        # Copies of lists: one that the caller changes later must not be saved.
        self.received = {
            name: list(value) if isinstance(value, _SEVERAL) else value
            for name, value in zip(names, (include, exclude), strict=True)
        }
        self._inside = inside
        # Of `VariableSelection`: patterns of the entries that are no strings, by id.
        self._patterns: dict[int, str | None] = {}
        self._include = None if include is None else entries(names[0], include)
        self._exclude = [] if exclude is None else entries(names[1], exclude)

    @property
    def selects_all(self) -> bool:
        """Whether neither argument was given."""
        return self._include is None and not self._exclude

    def __call__(self, target: Target) -> bool:
        included = self._include is None or self._any(self._include, target)
        return included and not self._any(self._exclude, target)

    def choose(self, targets: Sequence[Target], what: str = "layer") -> list[Target]:
        """Returns the selected targets.

        Raises:
            ValueError: If an entry selects nothing, or nothing is left.
        """
        selected = self.mask(targets, what)
        return [t for t, is_in in zip(targets, selected, strict=True) if is_in]

    def mask(self, targets: Sequence[Target], what: str = "layer") -> list[bool]:
        """Returns for each target whether it is selected; raises as `choose`."""
        self.check_used(targets, what)
        selected = [self(target) for target in targets]
        if not any(selected):
            checks.fail(
                f"`{self.names[0]}` and `{self.names[1]}` must leave a {what}",
                **self.received,
                paths=[target.path for target in targets],
            )
        return selected

    def check_used(self, targets: Sequence[Target], what: str = "layer") -> None:
        """Refuses an entry that selects none of the targets."""
        pairs = zip(self.names, (self._include or (), self._exclude), strict=True)
        for name, chosen in pairs:
            for entry in chosen:
                if not any(self._fits(entry, target) for target in targets):
                    checks.fail(
                        f"`{name}` must match at least one {what}",
                        fix="A regular expression is searched in these paths.",
                        **{name: _shown(entry)},
                        paths=[target.path for target in targets],
                    )

    def _any(self, chosen, target):
        return any(self._fits(entry, target) for entry in chosen)

    def _fits(self, entry, target):
        around = target.around if self._inside else ()
        if isinstance(entry, re.Pattern):
            paths = [target.path, *(path for path, _ in around)]
            if any(entry.search(path) for path in paths):
                return True
            return target.names is not None and target.names(entry.pattern, target.item)
        if isinstance(entry, keras.Variable):
            return target.item is entry
        if isinstance(entry, keras.layers.Layer):
            if isinstance(target.item, keras.Variable) and not around:
                return any(weight is target.item for weight in entry.weights)
            return any(item is entry for item in (target.item, *(i for _, i in around)))
        return bool(entry(target.subject))


class VariableSelection(Selection):
    """A selection of variables that is saved as regular expressions.

    Used where only variables are known, as in an optimizer. Strings are saved as they
    are. Layers, variables and functions are saved as the exact paths of the variables
    that they select, which for functions are known after `resolve`.
    """

    def resolve(self, variables: Sequence[Any]) -> list[bool]:
        """Returns for each variable whether it is selected, and remembers the paths.

        Raises:
            ValueError: If an entry selects nothing, or nothing is left although
                `include` is not empty.
        """
        targets = variable_targets(variables)
        self._patterns = {
            id(entry): self._exact(entry, targets)
            for entry in [*(self._include or ()), *self._exclude]
            if not isinstance(entry, re.Pattern)
        }
        if self._include == []:
            self.check_used(targets, "variable")
            return [False] * len(targets)
        return self.mask(targets, "variable")

    def _exact(self, entry, targets) -> str | None:
        """A pattern of what an entry selects; `None` if others have the same path."""
        selected = [self._fits(entry, target) for target in targets]
        pattern = exact_pattern(
            t.item for t, is_in in zip(targets, selected, strict=True) if is_in
        )
        matches = [bool(re.search(pattern, target.path)) for target in targets]
        return pattern if matches == selected else None

    def config(self) -> dict[str, Any]:
        """Returns both arguments as strings and lists of strings, for `get_config`.

        Raises:
            ValueError: If an entry has no unique form as a regular expression: a
                function before `resolve`, a layer without weights, or variables that
                share their path with others.
        """
        return {
            name: self._saved(name, received)
            for name, received in self.received.items()
        }

    def _saved(self, name, received):
        if received is None:
            return None
        if isinstance(received, list):
            return [self._saved_entry(name, entry) for entry in received]
        return self._saved_entry(name, received)

    def _saved_entry(self, name, entry) -> str:
        if isinstance(entry, str):
            return entry
        if isinstance(entry, re.Pattern):
            return _with_inline_flags(entry)
        if id(entry) in self._patterns:
            pattern = self._patterns[id(entry)]
            if pattern is not None:
                return pattern
            fix = "Other variables have the same path: give their layers other names."
        elif isinstance(entry, keras.Variable):
            return exact_pattern([entry])
        elif isinstance(entry, keras.layers.Layer) and entry.weights:
            return exact_pattern(entry.weights)
        else:
            fix = (
                "Its variables are not known yet: call "
                "optimizer.build(model.trainable_variables) first."
            )
        return checks.fail(
            f"`{name}` must select known variables to be saved",
            fix=fix,
            **{name: entry},
        )


def _with_inline_flags(pattern: re.Pattern[str]) -> str:
    """The text of a compiled pattern with its flags, such as `(?i)`, in front."""
    letters = {
        re.IGNORECASE: "i",
        re.MULTILINE: "m",
        re.DOTALL: "s",
        re.VERBOSE: "x",
        re.ASCII: "a",
    }
    flags = "".join(letter for flag, letter in letters.items() if pattern.flags & flag)
    return f"(?{flags}){pattern.pattern}" if flags else pattern.pattern


def entries(name: str, selector: Selector) -> list[Any]:
    """Checks a selector; returns its entries with regular expressions compiled."""
    several = isinstance(selector, _SEVERAL)
    return [_entry(name, entry) for entry in (selector if several else [selector])]


def _entry(name, entry):
    if isinstance(entry, str):
        return checks.pattern(name, entry)
    if isinstance(entry, re.Pattern | keras.Variable) or callable(entry):
        return entry
    return checks.fail(
        f"`{name}` must be a regular expression, a layer, a function of a layer, or a "
        "list of these",
        error=TypeError,
        **{name: entry},
    )


def _shown(entry):
    return entry.pattern if isinstance(entry, re.Pattern) else entry


def exact_pattern(variables: Iterable[Any]) -> str:
    """A regular expression that the paths of these variables match, and no others."""
    paths = "|".join(re.escape(getattr(v, "path", v.name)) for v in variables)
    return f"^({paths})$"
