"""Compiled programs of a study's arms, which the trainings of an arm share.

The trainings of one arm differ in seed: initial weights, order of the data, draws. To
trace and compile the step of each takes longer than many trainings do.
"""

import contextlib
import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import keras

from keras_strategies.ablation._runs import applying

if TYPE_CHECKING:
    from keras_strategies.ablation._runs.training import Prepared

# Parameters of a model that is kept, and of all: larger ones train so long that their
# compilation hardly matters.
_LARGEST = 5_000_000
_LARGEST_TOGETHER = 20_000_000
_MOST = 40


class Programs:
    """Models by arm, with what their first training has compiled.

    Each training still builds its model and applies its strategies: what comes out is
    compared with the kept one (`training.fit_many` does so too), and trained by itself
    unless it differs in the values of its variables only. Torch compiles nothing.
    """

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}
        self._refused: set[str] = set()
        self._running: tuple[str, Any] | None = None
        self._judge: tuple[Any, keras.Model] | None = None

    def shared(self, arm: str, prepared: "Prepared") -> "Prepared":
        """The training with the kept model in the place of its own, if possible."""
        from keras_strategies.training._programs.description import NotUnderstoodError
        from keras_strategies.training._programs.shared_program import SharedProgram

        self._running = None
        if keras.backend.backend() == "torch" or arm in self._refused:
            return prepared
        program = self._kept.get(arm)
        if program is None:
            if self._has_room(prepared.model):
                try:
                    self._running = arm, SharedProgram(prepared.model)
                except NotUnderstoodError:
                    self._refuse(arm)
            return prepared
        roots = [*prepared.callbacks, prepared.data]
        if program.obstacle(prepared.model, roots) is not None:
            # What one training could not use the next one cannot either.
            self._refuse(arm)
            return prepared
        self._running = arm, program
        return dataclasses.replace(prepared, model=program.model)

    def fitting(self) -> contextlib.AbstractContextManager[None]:
        """The block in which the training from `shared` runs."""
        if self._running is None:
            return contextlib.nullcontext()
        return self._running[1].fitting()

    def ended(self, well: bool) -> None:
        """Keeps the model of the last training, unless it was interrupted."""
        if self._running is None:
            return
        (arm, program), self._running = self._running, None
        if not well:
            self._kept.pop(arm, None)
        elif program.refusal is not None:
            self._refuse(arm)
        else:
            self._kept[arm] = program

    def only(self, arms: Collection[str]) -> None:
        """Drops the models of all arms but these."""
        self._kept = {arm: self._kept[arm] for arm in self._kept if arm in arms}

    def judge(self, setup: Any) -> keras.Model:
        """The baseline, whose loss and metrics score all trainings."""
        if self._judge is None or self._judge[0] is not setup:
            model = applying.built(setup.build_fn, setup.splits.samples, 0)
            self._judge = setup, model
        return self._judge[1]

    def _refuse(self, arm):
        self._kept.pop(arm, None)
        self._refused.add(arm)

    def _has_room(self, model):
        parameters = model.count_params()
        kept = sum(p.model.count_params() for p in self._kept.values())
        is_small = parameters <= _LARGEST and parameters + kept <= _LARGEST_TOGETHER
        return is_small and len(self._kept) < _MOST
