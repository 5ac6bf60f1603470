"""Sparsity schedules."""

from tests.cases.case import Case

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
