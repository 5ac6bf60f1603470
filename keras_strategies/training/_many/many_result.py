"""The result of many trainings."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.metrics import metric_direction
from keras_strategies._internal.model_graph import clone_model
from keras_strategies._internal.reports import Column
from keras_strategies._internal.weights.values import assign_values
from keras_strategies.training._history_report import HistoryReport
from keras_strategies.training._many.ensemble import Ensemble
from keras_strategies.training._many.member import Member
from keras_strategies.training._many.variants import Constants, set_learning_rate


class ManyResult(HistoryReport):
    """What `fit_many` trained: a row for each member, their histories and models.

    Attributes:
        rows: One dict a member: its number, seed and settings, the epochs that it
            trained, and each figure of its last epoch.
        histories: `History.history` of each member.
        engine: How the members were trained: `"one_after_another"` or
            `"one_program"`.
        notes: Sentences about why.
    """

    COLUMNS = (
        Column("member"),
        Column("seed"),
        Column("learning_rate", form=".3g"),
        Column("dropout"),
        Column("l1"),
        Column("l2"),
        Column("weight_decay", form=".3g"),
        Column("epochs"),
    )

    def __init__(
        self,
        model: keras.Model,
        members: Sequence[Member],
        engine: str,
        notes: Sequence[str] = (),
    ):
        self._model, self._members = model, list(members)
        self._constants = Constants(model)
        self.engine, self.notes = engine, list(notes)
        self.histories: list[Mapping[str, Sequence[float]]] = [
            member.history for member in members
        ]
        self.rows: list[dict[str, Any]] = [
            _row(number, member) for number, member in enumerate(members)
        ]

    def __len__(self) -> int:
        return len(self._members)

    def model(self, member: int) -> keras.Model:
        """A copy of the model with the weights and the settings of a member.

        It is compiled, with the optimizer at its beginning.

        Args:
            member: Number of the member, from 0.
        """
        checks.integer("member", member, low=0, high=len(self) - 1)
        own = self._members[member]
        copy = clone_model(self._model)
        self._constants.copy_to(copy, own.variant)
        set_learning_rate(copy, own.variant)
        assign_values(copy.variables, own.values)
        return copy

    def best(self, metric: str, mode: str | None = None) -> int:
        """The number of the member with the best last value of a figure.

        Args:
            metric: Key of the history, such as `"val_accuracy"`.
            mode: `"min"` or `"max"`. Defaults to `None`, known from the metric.
        """
        keys = sorted({key for history in self.histories for key in history})
        checks.choice("metric", metric, keys)
        if mode is None:
            mode = metric_direction(metric, model=self._model)
        checks.choice("mode", mode, ("min", "max"))
        # Not every member's callbacks note the same.
        values = np.array(
            [[np.nan, *history.get(metric, ())][-1] for history in self.histories]
        )
        if np.isnan(values).all():
            checks.fail(f"{metric!r} must be a number for a member", values=values)
        return int(np.nanargmin(values) if mode == "min" else np.nanargmax(values))

    def ensemble(self) -> Ensemble:
        """All members as one `Ensemble`: mean and spread of their predictions."""
        return Ensemble([self.model(number) for number in range(len(self))])

    def _footer(self):
        return self.notes

    def _summary(self):
        return {
            "engine": self.engine,
            "histories": [dict(history) for history in self.histories],
            "notes": self.notes,
        }

    def _draw(self, ax):
        name = "val_loss" if "val_loss" in self.histories[0] else "loss"
        for number, history in enumerate(self.histories):
            values = history.get(name, ())
            ax.plot(range(1, len(values) + 1), values, label=f"member {number}")
        ax.set(xlabel="epoch", ylabel=name)
        ax.legend()


def _row(number, member):
    last = {name: values[-1] for name, values in member.history.items() if values}
    epochs = max((len(values) for values in member.history.values()), default=0)
    return {"member": number, **member.variant.settings, "epochs": epochs, **last}
