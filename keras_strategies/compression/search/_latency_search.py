"""The search for a faster model: fewer filters, int8."""

import time

from keras_strategies.compression.filters._prune_filters import prune_filters
from keras_strategies.compression.filters.flops_report import flops
from keras_strategies.compression.search._candidate_evaluator import Candidate
from keras_strategies.compression.search._size_search import FORMATS, bisect, measured

FRACTIONS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
# Units are kept in multiples of this where the layers are wide enough.
_BLOCK = 8


class LatencySearch:
    """Takes out as many filters as the budget allows.

    Args:
        bench: The `Bench`.
        tuner: The `Tuner`.
    """

    def __init__(self, bench, tuner):
        self.bench, self.tuner = bench, tuner
        self.block = self._block()
        self.format = FORMATS[0]

    def _block(self):
        """Blocks of 8, or single units in a network too narrow for blocks."""
        model, most = self.bench.model, FRACTIONS[-1]
        try:
            prune_filters(model, most, round_to=_BLOCK)
        except ValueError:
            # What else is wrong with the model is said here.
            prune_filters(model, most, round_to=1)
            return 1
        return _BLOCK

    def run(self):
        """Tries candidates until nothing is left to try."""
        plain = prune_filters(self.bench.model, 0.0)
        for self.format in FORMATS:
            if self._measured(Candidate(self.format), plain).met:
                break
        else:
            return
        bisect(FRACTIONS, 2, self._fewer, lambda: self.bench.left)

    def model(self):
        """The Keras model of the best candidate, compiled like the given one."""
        self.tuner.compile_as_given(self.bench.kept)
        return self.bench.kept

    def _fewer(self, fraction):
        started = time.monotonic()
        try:
            model = prune_filters(self.bench.model, fraction, round_to=self.block)
        except ValueError:
            return True  # it removes nothing: `_block` has seen a larger one that does
        self.tuner.compile(model)
        self.tuner.fit(model)
        candidate = Candidate(self.format, filters=fraction)
        candidate.seconds = time.monotonic() - started
        return self._measured(candidate, model).met

    def _measured(self, candidate, model):
        candidate.flops = 2 * flops(model).macs
        return measured(self.bench, self.tuner, model, candidate, model)
