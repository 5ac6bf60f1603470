"""Regularizers."""

from tests.cases.case import Case

REGULARIZERS = [
    Case(
        "regularizers.ConvOrthogonal",
        "regularizer",
        make=lambda: {"factor": 0.02, "power_iterations": 1},
    ),
    Case(
        "regularizers.ElasticGroupLasso",
        "regularizer",
        make=lambda: {"factor": 0.02, "l1": 0.03, "l2": 0.04, "axis": -2},
    ),
    Case(
        "regularizers.Entropy",
        "regularizer",
        make=lambda: {"factor": 0.02, "power": 2, "axis": -1},
    ),
    Case("regularizers.GroupLasso", "regularizer", make=lambda: {"factor": 0.02}),
    Case(
        "regularizers.GroupLasso",
        "regularizer",
        make=lambda: {"factor": 0.02, "axis": (-2, -1)},
        label="two_axes",
    ),
    Case(
        "regularizers.Hoyer",
        "regularizer",
        make=lambda: {"factor": 0.02, "squared": False, "axis": -1},
    ),
    Case(
        "regularizers.KLSparsity",
        "regularizer",
        make=lambda: {"factor": 0.02, "target": 0.3, "axis": 1},
        setting="activity",
    ),
    Case(
        "regularizers.LogBarrier",
        "regularizer",
        make=lambda: {"factor": 0.02, "limit": 0.5, "margin": 0.1},
    ),
    Case(
        "regularizers.SpectralNorm",
        "regularizer",
        make=lambda: {"factor": 0.02, "power_iterations": 1},
    ),
    Case(
        "regularizers.TemporalActivation",
        "regularizer",
        make=lambda: {"alpha": 0.02, "beta": 0.03, "axis": -1},
        setting="activity",
    ),
]
