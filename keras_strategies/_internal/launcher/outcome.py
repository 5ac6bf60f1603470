"""How a group of processes has ended, start by start."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Round:
    """How the processes of one start have ended.

    Attributes:
        codes: Exit codes by rank, of those that ended before the launcher ended them.
        failure: Exit code of the one that failed first.
        reason: What made the round fail.
        is_free: Whether it does not count as a restart.
    """

    codes: dict[int, int] = field(default_factory=dict)
    failure: int | None = None
    reason: str = ""
    is_free: bool = False


@dataclass(frozen=True)
class Outcome:
    """The exit code of a group, and its starts.

    Attributes:
        exit_code: What the launcher ends with.
        ranks: The processes that this launcher knows: all on the first host, those of
            their own on the others.
        rounds: The starts, oldest first.
    """

    exit_code: int
    ranks: Sequence[int]
    rounds: Sequence[Round]

    def to_dict(self) -> dict[str, Any]:
        """Returns what JSON can hold; no exit code: the launcher ended the process."""
        starts = [
            {
                "exit_codes": {str(rank): item.codes.get(rank) for rank in self.ranks},
                "failure": item.reason or None,
            }
            for item in self.rounds
        ]
        return {"exit_code": self.exit_code, "starts": starts}
