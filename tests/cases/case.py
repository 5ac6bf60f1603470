"""One entry of the registry."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """One way to construct one public class.

    Attributes:
        target: Name below `keras_strategies`, e.g. `"layers.StochasticDepth"`.
        kind: `"schedule"`, `"callback"`, `"layer"`, `"regularizer"`, `"constraint"`,
            `"initializer"` or `"sparsity"` (a sparsity schedule).
        make: Called for a fresh dict of constructor arguments.
        input_shape: Layers: shape of the input without the batch axis.
        values: Schedules of any sort: `(step, expected)` pairs in closed form,
            at 0, at each boundary and past the end.
        label: Tells two cases of one class apart.
        random: The output in training is random.
        apply: Layers: how the layer is called, `apply(layer, x)`.
        setting: Callbacks: model and data they need, see tests/contract/pool.py.
            Regularizers: `"activity"` for those of outputs.
    """

    target: str
    kind: str
    make: Callable[[], dict] = dict
    input_shape: tuple | None = None
    values: tuple = field(default=())
    label: str = ""
    random: bool = False
    apply: Callable = lambda layer, x: layer(x)
    setting: str = ""

    @property
    def id(self):
        return f"{self.target}-{self.label}" if self.label else self.target

    def cls(self):
        import keras_strategies

        thing = keras_strategies
        for part in self.target.split("."):
            thing = getattr(thing, part)
        return thing

    def build(self):
        return self.cls()(**self.make())
