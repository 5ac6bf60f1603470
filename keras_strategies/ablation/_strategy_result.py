"""What a study found out about one strategy."""

import dataclasses
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal[
    "helps", "hurts", "no difference", "undecided", "not applicable"
]


@dataclasses.dataclass(frozen=True)
class StrategyResult:
    """What a study found out about one strategy; an entry of `StudyResult.strategies`.

    Attributes:
        name: Name of the strategy.
        verdict: `"helps"`, `"hurts"`, `"no difference"` (within the tolerance, or
            every training the same), `"undecided"` or `"not applicable"`.
        difference: Mean of the metric with the strategy less that without it, in
            units of the metric; `None` if nothing was trained. For a loss, less than
            0 is better.
        interval: Confidence interval of `difference`, which holds for all strategies
            of the study together and however often it looked (Bonferroni): `(low,
            high)`. That of a verdict ends at 0 where it would go beyond, since the
            verdict's test (Holm) is a little sharper.
        p_value: p-value of `difference`, corrected for the number of strategies and
            of looks.
        seeds: Pairs of trainings that it is based on.
        reason: Why the verdict is so, in words.
        why: What the strategy does.
        source: Where it comes from.
        seed_error: Standard error of `difference` by the seeds.
        test_error: Standard error of `difference` by the samples of the test part.
        error: Both together.
        failures: Trainings that failed with the strategy and not without it.
        more_seeds: Forecast of the further seeds that would decide it; `None` if it
            is decided, or if no number up to 1,000 would.
        detectable: Difference that the study would have shown with a power of 80 %.
        smallest_tolerance: Smallest tolerance with which the verdict would be "no
            difference".
        time_ratio: Seconds of a training with the strategy by those without.
        extra_parameters: Parameters with the strategy less those without.
        inference_ratio: Multiplications of one inference with the strategy by those
            without; `None` if they cannot be counted.
        screening: Main effect and its interval in the screening, with
            `design="screen"`.
    """

    name: str
    verdict: Verdict
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    seeds: int = 0
    reason: str = ""
    why: str = ""
    source: str = ""
    seed_error: float | None = None
    test_error: float | None = None
    error: float | None = None
    failures: int = 0
    more_seeds: int | None = None
    detectable: float | None = None
    smallest_tolerance: float | None = None
    time_ratio: float | None = None
    extra_parameters: int | None = None
    inference_ratio: float | None = None
    screening: tuple[float, float, float] | None = None
