"""Search for the fastest model: fewer filters, int8."""

import time

import keras

from keras_strategies.compression.filters._count_flops import flops
from keras_strategies.compression.filters._prune_filters import prune_filters
from keras_strategies.compression.search._candidate_evaluator import (
    Candidate,
    CandidateEvaluator,
)
from keras_strategies.compression.search._fine_tuner import FineTuner
from keras_strategies.compression.search._search_base import CompressionSearch, bisect

FRACTIONS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
_FIRST_FRACTION = 2
# Units are kept in multiples of this where the layers are wide enough.
_BLOCK_SIZE = 8


class LatencySearch(CompressionSearch):
    """Removes as many filters as the budget allows.

    Args:
        evaluator: The `CandidateEvaluator`.
        fine_tuner: The `FineTuner`.
    """

    def __init__(self, evaluator: CandidateEvaluator, fine_tuner: FineTuner) -> None:
        super().__init__(evaluator, fine_tuner)
        self.block_size = self._choose_block_size()

    def _choose_block_size(self):
        """Blocks of 8, or single units in a network too narrow for blocks."""
        model, largest = self.evaluator.model, FRACTIONS[-1]
        try:
            prune_filters(model, largest, round_to=_BLOCK_SIZE)
        except ValueError:
            # Any other reason to refuse the model is raised here.
            prune_filters(model, largest, round_to=1)
            return 1
        return _BLOCK_SIZE

    def run(self) -> None:
        start_model = prune_filters(self.evaluator.model, 0.0)
        if self.choose_format(lambda c: self._evaluate_model(c, start_model)):
            bisect(
                FRACTIONS,
                _FIRST_FRACTION,
                self._filter_step,
                lambda: self.evaluator.can_continue,
            )

    def best_model(self) -> keras.Model:
        self.fine_tuner.compile_as_given(self.evaluator.kept)
        return self.evaluator.kept

    def _filter_step(self, fraction: float) -> bool:
        """Removes a fraction of the filters; whether that is within the budget."""
        started = time.monotonic()
        model = self.evaluator.model
        try:
            model = prune_filters(model, fraction, round_to=self.block_size)
        except ValueError:
            # It removes nothing: `_choose_block_size` has tried a larger fraction.
            return True
        self.fine_tuner.compile(model)
        self.fine_tuner.fit(model)
        candidate = Candidate(self.format, filters=fraction)
        candidate.seconds = time.monotonic() - started
        return self._evaluate_model(candidate, model).met

    def _evaluate_model(self, candidate: Candidate, model: keras.Model) -> Candidate:
        candidate.flops = 2 * flops(model).macs
        return self.evaluate(candidate, model, model)
