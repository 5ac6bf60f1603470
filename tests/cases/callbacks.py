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
        "callbacks.GradientClipping",
        "callback",
        make=lambda: {"mode": "adaptive", "clip_factor": 0.05},
        label="adaptive",
        setting="freezing",
    ),
    Case(
        "callbacks.GradientClipping",
        "callback",
        make=lambda: {"mode": "percentile", "percentile": 50, "window": 8},
        label="percentile",
        setting="freezing",
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
    Case("callbacks.BestWeights", "callback", make=lambda: {"k": 2, "average": True}),
    Case(
        "callbacks.EarlyStopping",
        "callback",
        make=lambda: {"patience": 10, "restore_best_weights": True},
    ),
    Case("callbacks.GradientMonitor", "callback", make=lambda: {"detailed_logs": True}),
    Case(
        "callbacks.GradualUnfreezing",
        "callback",
        make=lambda: {"schedule": {1: lambda layer: getattr(layer, "units", 0) == 8}},
    ),
    Case(
        "callbacks.LabelSmoothingScheduler",
        "callback",
        make=lambda: {"schedule": {0: 0.2, 1: 0.1}},
    ),
    Case(
        "callbacks.LearningRateScheduler",
        "callback",
        make=lambda: {"schedule": lambda step, rate: 0.97 * rate, "update": "batch"},
    ),
    Case("callbacks.MemoryMonitor", "callback", make=lambda: {"update_freq": 2}),
    Case("callbacks.NaNRecovery", "callback", make=lambda: {"verbose": 0}),
    Case(
        "callbacks.ProgressiveResizing",
        "callback",
        make=lambda: {"schedule": {0: 4, 3: 6}},
        setting="images",
    ),
    Case("callbacks.ProgressBar", "callback", make=lambda: {"mode": "bars"}),
    Case(
        "callbacks.ReduceOnPlateau",
        "callback",
        make=lambda: {"patience": 1, "min_delta": 0.5, "factor": 0.5},
    ),
    Case(
        "callbacks.SequenceLengthWarmup",
        "callback",
        make=lambda: {"schedule": {0: 4, 3: 6}},
        setting="sequences",
    ),
    Case("callbacks.TargetStopping", "callback", make=lambda: {"target": 0.0}),
    Case("callbacks.ThroughputMonitor", "callback", make=lambda: {"batch_size": 8}),
    Case("callbacks.TimeBudget", "callback", make=lambda: {"time_limit": 3600}),
    Case("callbacks.WeightAveraging", "callback", make=lambda: {"decay": 0.9}),
    Case(
        "callbacks.WeightAveraging",
        "callback",
        make=lambda: {"method": "swa", "update_freq": 2, "swap_on_epoch": True},
        label="swa",
    ),
]
