"""Designs: which sets of strategies are trained, and what their scores are compared to.

An arm is a tuple of names of strategies that one training has. An effect is a contrast
of arms, weights that add up to 0, so that every design gives each strategy one
difference for each seed, and the same statistics serve all of them.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from keras_strategies._internal import checks

Arm: TypeAlias = tuple[str, ...]
Contrast: TypeAlias = Mapping[Arm, float]

DESIGNS = ("add_one", "leave_one_out", "screen", "factorial")
_MOST_FACTORS = 6


class Design(NamedTuple):
    """Arms and effects of a design.

    Attributes:
        effects: The contrast of each strategy.
        reference: The arm that others are compared to.
        interactions: Contrasts of pairs of strategies.
    """

    effects: Mapping[str, Contrast]
    reference: Arm
    interactions: Mapping[str, Contrast] = {}

    def arms(self, names: Sequence[str]) -> list[Arm]:
        """The arms that the effects of these strategies need, the reference first."""
        arms = dict.fromkeys([self.reference])
        for name in names:
            arms.update(dict.fromkeys(self.effects[name]))
        return list(arms)


def add_one(names: Sequence[str]) -> Design:
    """Each strategy alone against none."""
    return Design({name: {(name,): 1.0, (): -1.0} for name in names}, ())


def leave_one_out(names: Sequence[str]) -> Design:
    """All strategies against all but one."""
    everything = tuple(names)
    effects = {
        name: {everything: 1.0, tuple(n for n in names if n != name): -1.0}
        for name in names
    }
    return Design(effects, everything)


def factorial(names: Sequence[str]) -> Design:
    """Every combination: main effects and the interactions of pairs."""
    if len(names) > _MOST_FACTORS:
        checks.fail(
            f"design='factorial' must have at most {_MOST_FACTORS} strategies, it "
            "trains every combination of them",
            strategies=len(names),
            combinations=2 ** len(names),
            fix="Use design='screen' first.",
        )
    arms = [
        tuple(n for n, on in zip(names, row, strict=True) if on)
        for row in itertools.product((False, True), repeat=len(names))
    ]

    def contrast(*factors):
        signs = {
            arm: float(np.prod([1 if name in arm else -1 for name in factors]))
            for arm in arms
        }
        # The mean of the half with it less that of the half without: weights of 2 /
        # arms.
        return {arm: 2 * sign / len(arms) for arm, sign in signs.items()}

    pairs = itertools.combinations(names, 2)
    return Design(
        {name: contrast(name) for name in names},
        (),
        {f"{first} x {second}": contrast(first, second) for first, second in pairs},
    )


def hadamard(factors: int) -> np.ndarray:
    """A two-level orthogonal array with a column for each factor.

    Rows and columns of a Hadamard matrix: of an order that is a power of two, or, as
    Plackett and Burman did, of an order `q + 1` with a prime `q = 3 (mod 4)`, by the
    quadratic residues of `q` (Paley). The first row is all -1.

    Reference:

    - [Plackett and Burman, 1946, The Design of Optimum Multifactorial
      Experiments](https://doi.org/10.1093/biomet/33.4.305)
    """
    from scipy import linalg

    order = 4 * -(-(factors + 1) // 4)
    while True:
        if order & (order - 1) == 0:
            matrix = linalg.hadamard(order)
            break
        if _is_prime(order - 1):  # order - 1 = 3 (mod 4) for every multiple of 4
            matrix = _paley(order - 1)
            break
        order += 4
    # The first column constant, then its rows all of one sign in the first row.
    matrix = matrix * matrix[:, :1]
    matrix = matrix[:, 1 : factors + 1]
    return -matrix * matrix[:1]


def _is_prime(number):
    return all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _paley(q):
    """Hadamard matrix of order q + 1."""
    residues = {(i * i) % q for i in range(1, q)}
    character = np.array([0] + [1 if i in residues else -1 for i in range(1, q)])
    indices = np.arange(q)
    jacobsthal = character[(indices[np.newaxis] - indices[:, np.newaxis]) % q]
    matrix = np.ones((q + 1, q + 1), int)
    matrix[1:, 1:] = jacobsthal + np.eye(q, dtype=int)
    matrix[1:, 0] = -1
    return matrix


def screening_arms(
    names: Sequence[str],
    replicate: int,
    seed: int,
    excludes: Callable[[str, str], str | None],
) -> list[Arm]:
    """The arms of one replicate of a screening.

    Columns are assigned at random. Every second replicate is the fold-over of the one
    before it, all levels exchanged, so that interactions of pairs do not look like
    main effects. Where a row has strategies that exclude each other, one drawn at
    random stays.
    """
    rng = np.random.default_rng([seed, 2, replicate // 2])
    matrix = hadamard(len(names))[:, rng.permutation(len(names))]
    if replicate % 2:
        matrix = -matrix
    arms = []
    for row in matrix:
        chosen: list[str] = []
        on = [name for name, level in zip(names, row, strict=True) if level > 0]
        for name in rng.permutation(on) if on else ():
            if not any(excludes(str(name), other) for other in chosen):
                chosen.append(str(name))
        arms.append(tuple(name for name in names if name in chosen))
    return arms


class MainEffect(NamedTuple):
    """What the screening says of one strategy."""

    effect: float
    low: float
    high: float


def main_effects(
    names: Sequence[str], rows: Sequence[tuple[int, Arm, float]], level: float = 0.05
) -> dict[str, MainEffect]:
    """Main effects with intervals, by least squares with a mean for each replicate.

    Args:
        names: The strategies.
        rows: `(replicate, arm, score)` of the trainings that ended.
        level: Error rate of each interval.
    """
    from scipy import stats

    replicates = sorted({replicate for replicate, _, _ in rows})
    # A mean for each replicate takes the difference between seeds out of the error.
    blocks = [[float(r == replicate) for replicate in replicates] for r, _, _ in rows]
    levels = [[float(name in arm) for name in names] for _, arm, _ in rows]
    design = np.hstack([np.reshape(blocks, (len(rows), -1)), levels])
    freedom = len(rows) - design.shape[1]
    if freedom < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return {}
    scores = np.array([score for _, _, score in rows])
    inverse = np.linalg.inv(design.T @ design)
    estimates = inverse @ design.T @ scores
    residual = scores - design @ estimates
    errors = np.sqrt(np.diag(inverse) * (residual @ residual) / freedom)
    bound = stats.t.isf(level / 2, freedom)
    found = {}
    for number, name in enumerate(names, start=len(replicates)):
        effect, error = float(estimates[number]), float(bound * errors[number])
        found[name] = MainEffect(effect, effect - error, effect + error)
    return found
