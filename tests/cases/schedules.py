"""Learning-rate schedules."""

from tests.cases.case import Case


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
    Case(
        "schedules.StepDecay",
        "schedule",
        make=lambda: {
            "initial_learning_rate": 0.2,
            "decay_steps": 10,
            "decay_rate": 0.5,
            "alpha": 0.2,
        },
        values=((0, 0.2), (9, 0.2), (10, 0.1), (19, 0.1), (20, 0.05), (500, 0.04)),
    ),
    Case(
        "schedules.MultiStepDecay",
        "schedule",
        make=lambda: {
            "initial_learning_rate": 0.2,
            "milestones": [5, 15],
            "decay_rate": 0.1,
        },
        values=((0, 0.2), (4, 0.2), (5, 0.02), (14, 0.02), (15, 0.002), (900, 0.002)),
    ),
    Case(
        "schedules.JoinSchedules",
        "schedule",
        make=lambda: {
            "schedules": [0.01, _cosine_schedule(), 0.003],
            "boundaries": [10, 70],
        },
        values=((0, 0.01), (9, 0.01), (10, 0.1), (60, 0.05), (70, 0.003), (999, 0.003)),
    ),
    Case(
        "schedules.JoinSchedules",
        "schedule",
        make=lambda: {
            "schedules": [_cosine_schedule(), 0.003],
            "boundaries": [50],
            "shift": False,
            "name": "joined",
        },
        values=((0, 0.1), (25, 0.08535533906), (50, 0.003), (999, 0.003)),
        label="one_axis",
    ),
    Case(
        "schedules.OneCycle",
        "schedule",
        make=lambda: {
            "max_learning_rate": 0.5,
            "total_steps": 40,
            "warmup_fraction": 0.25,
            "div_factor": 10.0,
            "final_div_factor": 100.0,
        },
        values=(
            (0, 0.05),
            (5, 0.275),
            (10, 0.5),
            (25, 0.25025),
            (40, 0.0005),
            (900, 0.0005),
        ),
    ),
    Case(
        "schedules.OneCycle",
        "schedule",
        make=lambda: {
            "max_learning_rate": 0.5,
            "total_steps": 40,
            "warmup_fraction": 0.5,
            "div_factor": 5.0,
            "final_div_factor": 1.0,
            "shape": "linear",
        },
        values=((0, 0.1), (5, 0.2), (20, 0.5), (25, 0.4), (40, 0.1), (900, 0.1)),
        label="linear",
    ),
    Case(
        "schedules.Cyclical",
        "schedule",
        make=lambda: {
            "initial_learning_rate": 0.1,
            "max_learning_rate": 0.5,
            "step_size": 4,
        },
        values=((0, 0.1), (2, 0.3), (4, 0.5), (7, 0.2), (8, 0.1), (804, 0.5)),
    ),
    Case(
        "schedules.Cyclical",
        "schedule",
        make=lambda: {
            "initial_learning_rate": 0.1,
            "max_learning_rate": 0.5,
            "step_size": 4,
            "mode": "triangular2",
        },
        values=((0, 0.1), (4, 0.5), (8, 0.1), (12, 0.3), (20, 0.2), (8004, 0.1)),
        label="triangular2",
    ),
    Case(
        "schedules.Cyclical",
        "schedule",
        make=lambda: {
            "initial_learning_rate": 0.0,
            "max_learning_rate": 1.0,
            "step_size": 4,
            "mode": "exp_range",
            "gamma": 0.5,
        },
        values=((0, 0.0), (2, 0.125), (4, 0.0625), (8, 0.0), (804, 0.0)),
        label="exp_range",
    ),
    Case(
        "schedules.FlatCosine",
        "schedule",
        make=lambda: {
            "initial_learning_rate": 0.2,
            "total_steps": 100,
            "flat_fraction": 0.6,
            "alpha": 0.1,
        },
        values=((0, 0.2), (60, 0.2), (80, 0.11), (100, 0.02), (999, 0.02)),
    ),
    Case(
        "schedules.WarmupStableDecay",
        "schedule",
        make=lambda: {
            "max_learning_rate": 0.2,
            "total_steps": 100,
            "warmup_steps": 10,
            "decay_steps": 20,
            "alpha": 0.1,
        },
        values=(
            (0, 0.0),
            (5, 0.1),
            (10, 0.2),
            (80, 0.2),
            (85, 0.11),
            (100, 0.02),
            (999, 0.02),
        ),
    ),
    Case(
        "schedules.WarmupStableDecay",
        "schedule",
        make=lambda: {
            "max_learning_rate": 0.2,
            "total_steps": 100,
            "warmup_steps": 0,
            "decay_steps": 20,
            "shape": "cosine",
        },
        values=((0, 0.2), (80, 0.2), (90, 0.1), (100, 0.0), (999, 0.0)),
        label="cosine",
    ),
    Case(
        "schedules.WarmupStableDecay",
        "schedule",
        make=lambda: {
            "max_learning_rate": 0.2,
            "total_steps": 100,
            "warmup_steps": 50,
            "decay_steps": 50,
            "shape": "linear",
        },
        values=((0, 0.0), (25, 0.1), (50, 0.2), (60, 0.16), (100, 0.0), (999, 0.0)),
        label="linear",
    ),
    Case(
        "schedules.InverseSquareRoot",
        "schedule",
        make=lambda: {"warmup_steps": 16, "max_learning_rate": 0.4},
        values=((0, 0.0), (4, 0.1), (16, 0.4), (64, 0.2), (1600, 0.04)),
    ),
    Case(
        "schedules.InverseSquareRoot",
        "schedule",
        make=lambda: {"warmup_steps": 4, "d_model": 64},
        values=((0, 0.0), (1, 0.015625), (4, 0.0625), (100, 0.0125)),
        label="d_model",
    ),
    Case(
        "schedules.TanhDecay",
        "schedule",
        make=lambda: {
            "initial_learning_rate": 0.2,
            "decay_steps": 50,
            "lower": -4.0,
            "upper": 1.0,
            "alpha": 0.1,
        },
        # 0.02 + 0.09 * (1 - tanh(z)) with z = -4, 0, 1, 1
        values=(
            (0, 0.1999396437),
            (40, 0.11),
            (50, 0.0414565260),
            (999, 0.0414565260),
        ),
    ),
    Case(
        "schedules.ScaledSchedule",
        "schedule",
        make=lambda: {"schedule": _cosine_schedule(), "scale": 0.5},
        values=((0, 0.05), (50, 0.025), (100, 0.0), (999, 0.0)),
    ),
    Case(
        "schedules.ScaledSchedule",
        "schedule",
        make=lambda: {"schedule": 0.3},
        values=((0, 0.3), (1, 0.3), (50, 0.3), (999, 0.3)),
        label="constant",
    ),
]
