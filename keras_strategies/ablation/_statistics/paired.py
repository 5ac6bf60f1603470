"""What paired differences tell: their mean and the two variances of it.

A difference between two trainings has two sources of error that repeating the
training tells apart only in part. Another seed draws other weights and another order
of the data: its variance falls with the number of pairs. Another test set would hold
other samples: every pair was scored on the same ones, so no further pair changes it.
"""

from typing import NamedTuple

import numpy as np


class Evidence(NamedTuple):
    """A mean difference and its variances.

    Attributes:
        pairs: Pairs in which both trainings ended.
        mean: Their mean difference.
        deviation: Standard deviation of the difference between one pair and another.
        seed_variance: Variance of the mean by the seeds.
        test_variance: Variance of the mean by the samples of the test set.
        identical: Whether both trainings of every pair are the same.
    """

    pairs: int
    mean: float
    deviation: float
    seed_variance: float
    test_variance: float = 0.0
    identical: bool = False

    @property
    def error(self) -> float:
        """Standard error of the mean difference, both sources together."""
        return float(np.sqrt(self.seed_variance + self.test_variance))


def evidence(
    differences: np.ndarray,
    parts: np.ndarray | None = None,
    *,
    by_sample: bool = True,
    overlap: float = 0.0,
    samples: int | None = None,
    alike: bool = True,
) -> Evidence:
    """Mean and variances of paired differences.

    ```
    seed variance = (1 / n + overlap) * s^2
    test variance = max(0, V(mean over pairs) - MS / n) / m
    ```

    with `n` pairs, `m` test samples, `V` the variance over the samples and `MS` the
    mean square of the interaction of pairs and samples, which the seed variance has
    in it already. Bootstrap replicates in place of samples need no division by `m`.

    Where every pair has a split of its own, training sets overlap and `s^2 / n` is
    far too small; `overlap`, the size of a test part by that of a training part, is
    the correction of Nadeau and Bengio.

    Reference:

    - [Nadeau and Bengio, 2003, Inference for the Generalization
      Error](https://doi.org/10.1023/A:1024068626366)

    Args:
        differences: Difference of the scores of each pair, shape `(n,)`.
        parts: The same for each test sample or each bootstrap replicate, shape
            `(n, m)`, or `None` if pairs have test sets of their own.
        by_sample: Whether `parts` are samples, whose mean is the score.
        overlap: See above.
        samples: Number of test samples if the score is a share of them. Two equal
            shares may hide a difference of less than one sample, so that
            `1 / (6 m^2)`, the variance of rounding both, is added to `s^2`.
        alike: Whether the trainings of every pair went the same way. If they did not,
            equal scores are a coincidence.
    """
    differences = np.asarray(differences, float)
    n = len(differences)
    mean = float(np.mean(differences)) if n else 0.0
    if n < 2:
        return Evidence(n, mean, np.inf, np.inf)
    alike = alike and not np.any(differences)
    alike = alike and (parts is None or not np.any(parts))
    variance = float(np.var(differences, ddof=1))
    # Rounding to a multiple of 1 / m has the variance 1 / (12 m^2), here of two scores.
    if samples is not None and not alike:
        variance += 1 / (6 * samples**2)
    return Evidence(
        n,
        mean,
        float(np.sqrt(variance)),
        (1 / n + overlap) * variance,
        0.0 if parts is None else _test_variance(np.asarray(parts, float), by_sample),
        bool(alike),
    )


def _test_variance(parts, by_sample):
    """The part of the variance that is due to the test samples alone."""
    n, m = parts.shape
    if m < 2:
        return 0.0
    of_mean = np.var(parts.mean(axis=0), ddof=1)
    # mean over pairs of V = V(mean over pairs) + MS * (n - 1) / n
    interaction = (np.var(parts, axis=1, ddof=1).mean() - of_mean) * n / (n - 1)
    variance = max(0.0, of_mean - max(0.0, interaction) / n)
    return float(variance / m if by_sample else variance)
