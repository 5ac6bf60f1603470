"""What a checkpoint holds, or the checkpoints of a folder, as a table."""

import dataclasses
from collections.abc import Sequence
from typing import Any, ClassVar

from keras_strategies._internal.reports import Column, Report


@dataclasses.dataclass(frozen=True)
class CheckpointReport(Report):
    """The checkpoints of a training, and what the newest good one holds.

    Attributes:
        rows: One dict for each checkpoint, the oldest first: `name`, `epoch`, `step`,
            `iterations`, `finished`, `bytes`, `created`, `loss`, and `problem`, `None`
            for one that is as it was written.
        name: Name of the checkpoint that the other attributes describe, `None` if there
            is no good one.
        variables: One dict for each variable of it: `group` (`"model"`, `"metrics"` or
            `"optimizer"`), `path`, `shape` and `dtype`.
        callbacks: Class names of its callbacks, with their states.
        training: What the training consists of: layers, optimizer, data and versions.
        logs: The logs at the end of its epoch.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("name", left=True),
        Column("epoch"),
        Column("step"),
        Column("iterations", form=","),
        Column("finished"),
        Column("bytes", form=","),
        Column("loss", form=".4g"),
        Column("created", left=True),
        Column("problem", left=True),
    )

    rows: Sequence[dict[str, Any]]
    name: str | None
    variables: Sequence[dict[str, Any]]
    callbacks: Sequence[dict[str, Any]]
    training: dict[str, Any]
    logs: dict[str, float]

    def _summary(self) -> dict[str, Any]:
        return {
            "checkpoint": self.name,
            "variables": list(self.variables),
            "callbacks": list(self.callbacks),
            "training": self.training,
            "logs": self.logs,
        }
