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
]
