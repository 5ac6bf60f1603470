"""Regularizers."""

from tests.cases.case import Case

REGULARIZERS = [
    Case("regularizers.GroupLasso", "regularizer", make=lambda: {"factor": 0.02}),
    Case(
        "regularizers.GroupLasso",
        "regularizer",
        make=lambda: {"factor": 0.02, "axis": (-2, -1)},
        label="two_axes",
    ),
]
