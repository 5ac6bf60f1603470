"""Constraints."""

from tests.cases.case import Case

CONSTRAINTS = [
    Case("constraints.Orthogonal", "constraint", make=lambda: {"axis": -2}),
    Case(
        "constraints.UnitSpectralNorm",
        "constraint",
        make=lambda: {"power_iterations": 1, "axis": (-2, -1)},
    ),
]
