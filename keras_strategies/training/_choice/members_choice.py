"""Which way to train the members of a joint training on TensorFlow."""

from collections.abc import Callable, Sequence

from keras_strategies.training._candidates import PLAIN
from keras_strategies.training._choice.ongoing_choice import (
    COMPILATION,
    TRIAL_EPOCHS,
    CandidateTimes,
    OngoingChoice,
    Segment,
)

# The part of a step in a graph that XLA is hoped to save.
HOPED_PART = 0.3


class MembersChoice(OngoingChoice):
    """Chooses among compiled epochs, without a look at plain `fit`.

    A graph of an epoch computes what plain `fit` computes, without what surrounds each
    step, and is traced once where plain `fit` traces for each member: plain `fit`
    cannot win, and its trial would be in vain. So the graph runs the first two epochs.
    XLA takes several times as long to compile and saves a third of a small model's
    steps: it is tried if the steps that remain could pay for it, and nowhere where it
    may be slow (convolutions on a CPU).

    Args:
        steps: Steps of all members.
        candidates: As for `OngoingChoice`, and so are the others.
        has_convolutions: Whether XLA may be slow.
        times: Times of an earlier run.
        overhead: Returns the seconds of a step beside its computation.
    """

    def __init__(
        self,
        steps: int,
        candidates: Sequence[str],
        has_convolutions: bool = False,
        times: dict[str, CandidateTimes] | None = None,
        overhead: Callable[[], float] = lambda: 0.0,
    ):
        super().__init__(candidates, has_convolutions, times, overhead)
        self._total = steps
        graphs = [name for name in candidates if name.startswith("graph")]
        others = [name for name in candidates if name not in graphs]
        if has_convolutions and graphs:
            others = []
        self._candidates = graphs + others

    def next_segment(self, remaining: int) -> Segment:
        """Returns how to run the next of `remaining` epochs of this fit."""
        for name in self._candidates:
            times = self.times.get(name)
            if times is None:
                if not self._may_be_faster():
                    continue
                return Segment(name, min(TRIAL_EPOCHS, remaining))
            if times.seconds is None:
                return Segment(name, 1)
        if not self._candidates:
            return Segment(PLAIN.name, remaining)
        steps = self._total - self._done
        best = min(self.times, key=lambda name: self._cost(name, steps))
        return Segment(best, remaining)

    def _may_be_faster(self):
        """Whether another candidate may earn its compilation in what remains."""
        if not self.times:
            return True
        best = self.times[self.best]
        compilation = best.compile_seconds * COMPILATION["xla"] / COMPILATION["graph"]
        return (self._total - self._done) * HOPED_PART * best.seconds > compilation
