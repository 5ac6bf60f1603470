"""The registry: every public class once or more, with what the battery needs.

`tests/contract` runs over it and `tests/policy` checks that no public symbol is
missing. Targets are names, so that reading the registry imports nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """One way to construct one public class.

    Attributes:
        target: Name below `keras_strategies`, e.g. `"layers.StochasticDepth"`.
        kind: `"schedule"`, `"callback"`, `"layer"`, `"regularizer"` or
            `"sparsity"` (a sparsity schedule).
        make: Called for a fresh dict of constructor arguments.
        input_shape: Layers: shape of the input without the batch axis.
        values: Schedules of any sort: `(step, expected)` pairs in closed form,
            at 0, at each boundary and past the end.
        label: Tells two cases of one class apart.
        random: The output in training is random.
        apply: Layers: how the layer is called, `apply(layer, x)`.
    """

    target: str
    kind: str
    make: Callable[[], dict] = dict
    input_shape: tuple | None = None
    values: tuple = field(default=())
    label: str = ""
    random: bool = False
    apply: Callable = lambda layer, x: layer(x)

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


def _cosine_schedule():
    from keras.optimizers.schedules import CosineDecay

    return CosineDecay(0.1, decay_steps=100)


SCHEDULES = [
    Case(
        "schedules.WarmupSchedule",
        "schedule",
        make=lambda: {"schedule": _cosine_schedule(), "warmup_steps": 10},
        values=((0, 0.0), (5, 0.05), (10, 0.1), (60, 0.05), (110, 0.0), (500, 0.0)),
    ),
    Case(
        "schedules.WarmupSchedule",
        "schedule",
        make=lambda: {
            "schedule": 0.1,
            "warmup_steps": 8,
            "initial_learning_rate": 0.02,
            "shape": "cosine",
            "shift": False,
            "name": "gentle_start",
        },
        values=((0, 0.02), (2, 0.0317157288), (4, 0.06), (8, 0.1), (1000, 0.1)),
        label="cosine",
    ),
]

CALLBACKS = [
    Case("callbacks.StepDecayScheduler", "callback"),
    Case(
        "callbacks.ExponentialDecayScheduler",
        "callback",
        make=lambda: {
            "initial_learning_rate": 0.02,
            "decay_steps": 10,
            "decay_rate": 0.5,
            "update": "batch",
            "warmup_steps": 2,
        },
    ),
    Case(
        "callbacks.CosineDecayScheduler",
        "callback",
        make=lambda: {
            "initial_learning_rate": 0.02,
            "decay_steps": 15,
            "alpha": 0.1,
            "update": "batch",
            "warmup_steps": 2,
        },
    ),
    Case(
        "callbacks.GradientClipping", "callback", make=lambda: {"global_clipnorm": 0.1}
    ),
]

LAYERS = [
    Case(
        "layers.StochasticDepth",
        "layer",
        make=lambda: {"rate": 0.3, "seed": 7},
        input_shape=(6,),
        random=True,
    ),
    Case(
        "layers.StochasticDepth",
        "layer",
        make=lambda: {"rate": 0.3, "seed": 7},
        input_shape=(12, 10, 3),
        label="shortcut",
        random=True,
        apply=lambda layer, x: layer([x, x]),
    ),
    Case(
        "augmentation.RandomAffine",
        "layer",
        make=lambda: {
            "rotation_factor": 0.1,
            "translation_height_factor": (-0.1, 0.2),
            "translation_width_factor": 0.1,
            "shear_x_factor": 0.1,
            "shear_y_factor": (0.0, 0.1),
            "zoom_height_factor": 0.2,
            "zoom_width_factor": (-0.2, 0.1),
            "flip_mode": "horizontal_and_vertical",
            "fill_mode": "constant",
            "interpolation": "nearest",
            "seed": 5,
            "fill_value": 0.5,
            "bounding_box_format": "xyxy",
            "jit_compile": False,
        },
        input_shape=(12, 10, 3),
        random=True,
    ),
    Case(
        "augmentation.RandomAffine",
        "layer",
        make=lambda: {"rotation_factor": 0.1, "flip_mode": "horizontal"},
        input_shape=(12, 10, 3),
        label="compiled",
        random=True,
    ),
]

REGULARIZERS = [
    Case("regularizers.GroupLasso", "regularizer", make=lambda: {"factor": 0.02}),
    Case(
        "regularizers.GroupLasso",
        "regularizer",
        make=lambda: {"factor": 0.02, "axis": (-2, -1)},
        label="two_axes",
    ),
]

SPARSITY = [
    Case(
        "compression.ConstantSparsity",
        "sparsity",
        make=lambda: {
            "target_sparsity": 0.6,
            "begin_step": 10,
            "end_step": 90,
            "frequency": 20,
        },
        values=((0, 0.6), (10, 0.6), (90, 0.6), (500, 0.6)),
    ),
    Case(
        "compression.PolynomialSparsity",
        "sparsity",
        make=lambda: {
            "initial_sparsity": 0.2,
            "final_sparsity": 0.8,
            "begin_step": 100,
            "end_step": 300,
            "power": 2,
            "frequency": 50,
        },
        values=((0, 0.2), (100, 0.2), (200, 0.65), (300, 0.8), (999, 0.8)),
    ),
]

CASES = SCHEDULES + CALLBACKS + LAYERS + REGULARIZERS + SPARSITY

# Public symbols that are no serializable or fit-time class. Each has tests of its
# own; the policy tests check names, docstrings and docs.
OTHERS = [
    "compat.tfmot",
    "compression.ClusterReport",
    "compression.FilterReport",
    "compression.FlopsReport",
    "compression.RangeReport",
    "compression.SparsityReport",
    "compression.SparsitySchedule",
    "compression.SparsitySummaries",
    "compression.cluster",
    "compression.cluster_report",
    "compression.filter_report",
    "compression.flops",
    "compression.from_tf_keras",
    "compression.import_tfmot",
    "compression.prune",
    "compression.prune_filters",
    "compression.quantize_aware",
    "compression.range_report",
    "compression.sparsity_report",
    "compression.strip",
    "compression.to_tf_keras",
    "export.BenchmarkResult",
    "export.ComparisonResult",
    "export.ExportError",
    "export.ExportResult",
    "export.QuantizationReport",
    "export.TFLiteModel",
    "export.TrainableResult",
    "export.compare",
    "export.debug_quantization",
    "export.read_metadata",
    "export.to_tflite",
    "export.to_trainable_tflite",
    "export.write_c_array",
    "export.write_metadata",
    "tuning.HyperMLP",
]
