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
]
