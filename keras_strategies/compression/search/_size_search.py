"""Search for the smallest model: sparsity, shared values, int8."""

import time
from collections.abc import Callable
from typing import Any

import keras

from keras_strategies._internal.model_graph import clone_model
from keras_strategies._internal.weights.values import host_value
from keras_strategies.compression._common.stripping import strip
from keras_strategies.compression.clustering._cluster import cluster
from keras_strategies.compression.pruning._prune import prune
from keras_strategies.compression.pruning.constant_sparsity import ConstantSparsity
from keras_strategies.compression.pruning.polynomial_sparsity import PolynomialSparsity
from keras_strategies.compression.pruning.sparsity_schedule import SparsitySchedule
from keras_strategies.compression.search._candidate_evaluator import (
    Candidate,
    CandidateEvaluator,
)
from keras_strategies.compression.search._fine_tuner import FineTuner
from keras_strategies.compression.search._search_base import CompressionSearch, bisect

SPARSITIES = (0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
CLUSTERS = (64, 32, 16, 8, 4)  # from mild to strong
# Indices of the levels that a bisection starts with: what most networks stand.
_FIRST_SPARSITY, _FIRST_CLUSTERS = 4, 2

# Part of a fine-tuning in which masks are renewed, and how often. The rest is for
# the remaining weights to settle.
_PRUNING_PHASE, _RENEWALS = 0.7, 20
# Learning rate of clustering, relative to that of pruning.
_CLUSTER_RATE = 0.3
# A sparsity change in fewer steps than this is made at once.
_FEW_STEPS = 10


def schedule(start: float, end: float, steps: int) -> SparsitySchedule:
    """A pruning schedule for `steps` steps that ends at its last renewal."""
    if steps < _FEW_STEPS or end <= start:
        return ConstantSparsity(end, begin_step=0, frequency=1)
    frequency = max(int(_PRUNING_PHASE * steps) // _RENEWALS, 1)
    # A multiple of the frequency, so that the final sparsity is reached exactly.
    last = int(_PRUNING_PHASE * steps) // frequency * frequency
    return PolynomialSparsity(start, end, 0, last, frequency=frequency)


def _weights(model):
    # Copies: on Torch `get_weights` returns the memory of the weights.
    return [host_value(weight) for weight in model.weights]


class SizeSearch(CompressionSearch):
    """Sparsity, then shared values, each as strong as the budget allows.

    One scratch model is trained again and again, from the weights of an accepted
    candidate.

    Args:
        evaluator: The `CandidateEvaluator`.
        fine_tuner: The `FineTuner`.
    """

    def __init__(self, evaluator: CandidateEvaluator, fine_tuner: FineTuner) -> None:
        super().__init__(evaluator, fine_tuner)
        self.scratch_model = clone_model(evaluator.model)
        self.start_weights = _weights(self.scratch_model)
        # Sparsity and weights of the candidates within the budget, in order.
        self.accepted: list[tuple[float, Any]] = [(0.0, self.start_weights)]
        # The candidate over the budget that lost least, and its weights.
        self.best_rejected: tuple[Candidate, Any] | None = None
        # Sparsity -> that of the weights from which it was tried in vain.
        self.rejected_from: dict[float, float] = {}

    def run(self) -> None:
        if not self.choose_format(self._evaluate_start):
            return
        bisect(SPARSITIES, _FIRST_SPARSITY, self._prune_step, self._can_continue)
        self._refine()
        # The sparsest model, or if no clustering of it is accepted the one before.
        for sparsity, weights in self.accepted[:-3:-1]:
            attempt = self._cluster_step(sparsity, weights)
            if bisect(CLUSTERS, _FIRST_CLUSTERS, attempt, self._can_continue):
                break
        self._retry_with_qat()

    def best_model(self) -> keras.Model:
        model = self.evaluator.kept
        if isinstance(model, list):
            self.scratch_model.set_weights(model)
            model = self.scratch_model
        self.fine_tuner.compile_as_given(model)
        return model

    def _can_continue(self):
        return self.evaluator.can_continue

    def _evaluate_start(self, candidate):
        return self._evaluate_weights(candidate, self.start_weights)

    def _prune_step(self, sparsity: float) -> bool:
        """Prunes the last accepted weights further; whether that is accepted."""
        start, weights = self.accepted[-1]
        started = time.monotonic()
        self._load(weights, rate=1.0)
        plan = schedule(start, sparsity, self.fine_tuner.steps)
        prune(self.scratch_model, plan, scope="global")
        self.fine_tuner.fit(self.scratch_model)
        candidate = Candidate(self.format, sparsity)
        is_accepted = self._evaluate_trained(candidate, started)
        if not is_accepted:
            self.rejected_from[sparsity] = start
        return is_accepted

    def _refine(self) -> None:
        """Tries the next levels again from weights that are nearly as sparse.

        The bisection may have tried them from much denser weights, from where the
        step was too large.
        """
        for sparsity in SPARSITIES:
            start = self.accepted[-1][0]
            if sparsity <= start:
                continue
            was_tried = self.rejected_from.get(sparsity) == start
            if was_tried or not self._can_continue() or not self._prune_step(sparsity):
                return

    def _cluster_step(self, sparsity: float, weights: Any) -> Callable[[int], bool]:
        """A function of a number of values: whether clustering to it is accepted."""

        def attempt(n: int) -> bool:
            started = time.monotonic()
            self._load(weights, rate=_CLUSTER_RATE)
            cluster(self.scratch_model, n, preserve_sparsity=True)
            self.fine_tuner.fit(self.scratch_model)
            return self._evaluate_trained(Candidate(self.format, sparsity, n), started)

        return attempt

    def _load(self, weights, rate):
        """Gives the scratch model weights and a new optimizer."""
        self.scratch_model.set_weights(weights)
        self.fine_tuner.compile(self.scratch_model, rate)

    def _evaluate_trained(self, candidate: Candidate, started: float) -> bool:
        """Measures the scratch model as `candidate`; whether it is accepted."""
        strip(self.scratch_model)
        weights = _weights(self.scratch_model)
        candidate.seconds = time.monotonic() - started
        if self._evaluate_weights(candidate, weights).met:
            # Only pruned weights are pruned further.
            if candidate.clusters is None:
                self.accepted.append((candidate.sparsity, weights))
        elif self._would_be_best(candidate):
            rejected = self.best_rejected
            is_better = (
                rejected is None
                or not self._would_be_best(rejected[0])
                or candidate.drop < rejected[0].drop
            )
            if is_better:
                self.best_rejected = candidate, weights
        return candidate.met

    def _would_be_best(self, candidate: Candidate) -> bool:
        """Whether a candidate would be the best if only it lost less."""
        size, best = candidate.gzipped_bytes, self.evaluator.best
        return size is not None and not (best.met and best.gzipped_bytes <= size)

    def _retry_with_qat(self) -> None:
        """Trains the best rejected candidate for int8, to get it within the budget."""
        if self.best_rejected is None or self.format != "int8":
            return
        candidate, weights = self.best_rejected
        if self._would_be_best(candidate) and self._can_continue():
            self.format = "int8 QAT"
            retried = Candidate(self.format, candidate.sparsity, candidate.clusters)
            self._evaluate_weights(retried, weights)

    def _evaluate_weights(self, candidate, weights):
        self.scratch_model.set_weights(weights)
        return self.evaluate(candidate, self.scratch_model, weights)
