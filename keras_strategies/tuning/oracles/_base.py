"""Base class of every oracle of this package: proposals without duplicates."""

import hashlib
import random
from collections.abc import Sequence
from typing import Any, TypeAlias

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from keras_strategies.tuning import _space
from keras_strategies.tuning._private import oracles as private
from keras_strategies.tuning.oracles._search_state.bookkeeping import BookkeepingOracle

#: Name of a metric, `keras_tuner.Objective`, or a list of these.
Objective: TypeAlias = (
    str | keras_tuner.Objective | Sequence[str | keras_tuner.Objective]
)


class OracleBase(BookkeepingOracle):
    """Base of the oracles: a `keras_tuner.Oracle` with its faults repaired.

    Written for KerasTuner 1.4.8. A subclass has `populate_space`, or is at the same
    time a subclass of one of KerasTuner's oracles, which it precedes among the bases.
    The seeds of random draws are independent, and no combination is proposed twice
    while there is another one.
    """

    def probability(self, *key: Any) -> float:
        """Returns a number in [0, 1) that depends on the seed and `key` only.

        A hash in place of a generator with a state: a resumed or parallel search draws
        what an uninterrupted one would, and neighbouring seeds have nothing in common.
        """
        return random.Random(self._digest(key)).random()

    def random_state(self, *key: Any) -> np.random.Generator:
        """Returns a generator that depends on the seed and `key` only."""
        seed = int.from_bytes(self._digest(key)[:8], "big")
        return np.random.default_rng(seed)

    def _digest(self, key: tuple[Any, ...]) -> bytes:
        return hashlib.sha256(repr((self.seed, *key)).encode()).digest()

    def sample(self) -> _space.Values:
        """Returns random values of the active hyperparameters, whether tried or not."""

        # The count of draws is saved, so that a resumed search draws new values.
        def draw(hp: Any) -> Any:
            return hp.prob_to_value(self.probability(private.next_draw(self)))

        return _space.fill(self.hyperparameters.space, {}, draw)

    def attempts(self) -> int:
        """Returns how many proposals may be refused before a space is used up."""
        # Constraints may leave a small part of the space.
        return private.max_collisions(self) if self.constraints is None else 1000

    def _draw_untried(self) -> _space.Values | None:
        for _ in range(self.attempts()):
            values = self.sample()
            if not self.is_refused(values):
                return values
        # A small space, nearly used up: choose among the combinations that remain.
        if _space.size(self.hyperparameters.space) is None:
            return None
        remaining = [
            values
            for values in _space.combinations(self.hyperparameters.space)
            if not self.is_refused(values)
        ]
        if not remaining:
            return None
        position = self.probability(private.next_draw(self))
        return remaining[int(position * len(remaining))]

    def random_proposal(self) -> dict[str, Any]:
        """Returns the answer of `populate_space` for random untried values."""
        values = self._draw_untried()
        status = TrialStatus.STOPPED if values is None else TrialStatus.RUNNING
        return {"status": status, "values": values}
