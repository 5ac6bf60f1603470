"""Callbacks."""

from tests.cases.case import Case

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
    Case(
        "callbacks.OneCycleScheduler",
        "callback",
        make=lambda: {"max_learning_rate": 0.02},
    ),
    Case(
        "callbacks.WeightDecayScheduler",
        "callback",
        make=lambda: {"schedule": lambda step: 0.01 * step, "update": "batch"},
    ),
    Case(
        "callbacks.MomentumScheduler",
        "callback",
        make=lambda: {"schedule": {0: 0.5, 2: 0.8}},
    ),
    Case(
        "callbacks.AccumulationScheduler",
        "callback",
        make=lambda: {"schedule": {0: 1, 1: 3}},
        setting="accumulation",
    ),
]
