"""The numbers of a Q-learning agent, checked."""

import dataclasses
from typing import Any, Literal

from keras_strategies._internal import checks


@dataclasses.dataclass(frozen=True)
class Settings:
    """What an agent is made of besides environment and network."""

    num_envs: int
    buffer_size: int
    batch_size: int
    discount: float
    n_steps: int
    double: bool
    priority_exponent: float | None
    importance_exponent: float
    tau: float
    target_update_interval: int
    epsilon: float
    final_epsilon: float
    exploration_steps: int
    learning_starts: int
    updates_per_step: int
    jit_compile: Literal["auto"] | bool
    seed: int

    def __post_init__(self) -> None:
        for name in (
            "num_envs",
            "batch_size",
            "n_steps",
            "target_update_interval",
            "learning_starts",
            "updates_per_step",
        ):
            checks.integer(name, getattr(self, name), low=1)
        checks.integer("exploration_steps", self.exploration_steps, low=0)
        checks.integer("seed", self.seed, low=0)
        checks.integer(
            "buffer_size",
            self.buffer_size,
            low=self.num_envs,
            fix="It must have room for one step of each environment.",
        )
        checks.boolean("double", self.double)
        checks.choice("jit_compile", self.jit_compile, ("auto", True, False))
        for name in ("discount", "epsilon", "final_epsilon", "importance_exponent"):
            checks.real(name, getattr(self, name), low=0, high=1)
        checks.real(
            "priority_exponent", self.priority_exponent, low=0, high=1, optional=True
        )
        checks.real("tau", self.tau, low=0, high=1, low_open=True)
        if self.learning_starts > self.buffer_size:
            checks.fail(
                "`learning_starts` must be at most `buffer_size`",
                fix="Learning would never begin.",
                learning_starts=self.learning_starts,
                buffer_size=self.buffer_size,
            )

    def buffer_options(self) -> dict[str, Any]:
        """Arguments of `ReplayBuffer` besides its shapes."""
        names = ("n_steps", "discount", "priority_exponent", "importance_exponent")
        return {name: getattr(self, name) for name in names}
