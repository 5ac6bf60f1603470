"""A named change of a training."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import keras

from keras_strategies._internal import checks

ModelChange: TypeAlias = Callable[..., keras.Model | None]
CallbackMaker: TypeAlias = Callable[..., Sequence[keras.callbacks.Callback]]
OptimizerChange: TypeAlias = Callable[
    [keras.optimizers.Optimizer], keras.optimizers.Optimizer
]
DataChange: TypeAlias = Callable[..., Any] | keras.layers.Layer

# What the study gives to `fit` itself.
_TAKEN = (
    *("x", "y", "sample_weight", "callbacks", "verbose", "shuffle"),
    *("validation_data", "validation_split"),
)
_OFFERED = ("epochs", "steps_per_epoch")


@dataclasses.dataclass(frozen=True, eq=False)
class Strategy:
    """One change of a training, under a name: what a study compares.

    Every part is optional and a strategy may have several, such as MixUp, which
    changes the data and the loss. Parts are functions, because each training needs
    new objects.

    Args:
        name: Name in tables. In a dict of strategies the key is the name.
        model: Function `model -> model` of the baseline's compiled model, with its
            initial weights set. It may change the model in place and return `None`.
            An uncompiled model that it returns is compiled as the baseline is. An
            argument called `x` is filled in with the training inputs. Defaults to
            `None`.
        callbacks: Function that returns a list of new callbacks. Arguments called
            `epochs` and `steps_per_epoch` are filled in. Defaults to `None`.
        optimizer: Function `optimizer -> optimizer` of the baseline's optimizer.
            Defaults to `None`.
        data: Change of the training data, never of validation or test data: a
            function `(x, y) -> (x, y)`, or `(x, y, sample_weight)` where there are
            weights, that may also return a dataset of batches or a layer; a Keras
            layer, which is called with the inputs of each batch; an object with a
            method `flow(x, y, batch_size=, seed=)`, such as
            `augmentation.ImageDataGenerator`; or a list of functions and layers.
            Layers that mix labels (MixUp, CutMix, RandomMosaic) are given these too.
            If labels become one-hot, those of the validation part do too. Defaults to
            `None`.
        fit: Arguments of `fit` that replace those of the study, such as
            `{"batch_size": 64}`. Defaults to `None`.
        why: What it does and why that may help, in one line. Defaults to `""`.
        source: Where it comes from: a paper, a page. Defaults to `""`.
        group: Strategies of one group exclude each other, such as two optimizers.
            Defaults to `None`.
        code: The same as Python lines for a script, for `StudyResult.code`: a dict
            of texts by the names of the parts above and `"imports"`, or a function
            `(model, epochs) -> dict` that is given the baseline's model. Defaults to
            `None`: the source of the functions is shown.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `name` is empty or `fit` has what the study decides itself.

    Example:

    ```python
    import keras
    from keras_strategies import ablation

    adamw = ablation.Strategy(
        "AdamW",
        optimizer=lambda old: keras.optimizers.AdamW(old.learning_rate),
        why="weight decay apart from the gradient",
    )
    print(adamw.name, adamw.changes)  # AdamW ('optimizer',)
    ```
    """

    name: str
    _: dataclasses.KW_ONLY
    model: ModelChange | None = None
    callbacks: CallbackMaker | None = None
    optimizer: OptimizerChange | None = None
    data: DataChange | Sequence[DataChange] | None = None
    fit: Mapping[str, Any] | None = None
    why: str = ""
    source: str = ""
    group: str | None = None
    code: Mapping[str, str] | Callable[..., Mapping[str, str]] | None = None

    def __post_init__(self) -> None:
        checks.instance("name", self.name, str)
        if not self.name.strip():
            checks.fail("`name` must not be empty", name=self.name)
        for part in ("model", "callbacks", "optimizer"):
            _check_function(part, getattr(self, part))
        for change in _changes_of(self.data):
            if not callable(change) and not hasattr(change, "flow"):
                checks.fail(
                    "`data` must be a function, a layer, a generator or a list of "
                    "these",
                    error=TypeError,
                    data=change,
                )
        checks.instance("fit", self.fit, Mapping, optional=True)
        taken = [name for name in self.fit or () if name in _TAKEN]
        if taken:
            checks.fail(
                "`fit` must not have arguments that the study gives itself",
                fit=taken,
                fix="Use `callbacks=` and `data=` of the strategy.",
            )
        checks.instance("why", self.why, str)
        checks.instance("source", self.source, str)
        checks.instance("group", self.group, str, optional=True)

    @property
    def changes(self) -> tuple[str, ...]:
        """Names of the parts that this strategy has."""
        parts = ("model", "callbacks", "optimizer", "data", "fit")
        return tuple(part for part in parts if getattr(self, part) is not None)

    def excludes(self, other: "Strategy") -> str | None:
        """Returns why both cannot be in one training, or `None` if they can."""
        if self.group is not None and self.group == other.group:
            return f"both are of the group {self.group!r}"
        mine, others = self.fit or {}, other.fit or {}
        both = [name for name in mine if name in others and mine[name] != others[name]]
        return f"both set {', '.join(both)} of fit" if both else None

    def change_model(self, model: keras.Model, x: Any) -> keras.Model:
        """Returns the changed model, for training inputs `x`."""
        if self.model is None:
            return model
        accepts_x = "x" in inspect.signature(self.model).parameters
        result = self.model(model, x=x) if accepts_x else self.model(model)
        return model if result is None else result

    def make_callbacks(
        self, epochs: int, steps_per_epoch: int | None
    ) -> list[keras.callbacks.Callback]:
        """Returns new callbacks for a training of this length."""
        if self.callbacks is None:
            return []
        accepted = inspect.signature(self.callbacks).parameters
        values = dict(zip(_OFFERED, (epochs, steps_per_epoch), strict=True))
        made = self.callbacks(**{k: v for k, v in values.items() if k in accepted})
        made = [made] if isinstance(made, keras.callbacks.Callback) else list(made)
        for callback in made:
            checks.instance("callbacks()", callback, keras.callbacks.Callback)
        return made

    def data_changes(self) -> list[Any]:
        """The changes of the data, in order."""
        return _changes_of(self.data)


def _changes_of(data):
    if data is None:
        return []
    return list(data) if isinstance(data, list | tuple) else [data]


def _check_function(name, value):
    if value is None:
        return
    if not callable(value) or isinstance(
        value,
        keras.Model | keras.callbacks.Callback | keras.optimizers.Optimizer,
    ):
        checks.fail(
            f"`{name}` must be a function, which makes new objects for each training",
            error=TypeError,
            **{name: value},
            fix="Such as `callbacks=lambda: [MyCallback()]`.",
        )
