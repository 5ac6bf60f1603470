"""What happened during training: episodes, losses, evaluations."""

from typing import Any

import numpy as np

_NAMES = (
    "episode_step",
    "episode_return",
    "episode_length",
    "loss_step",
    "loss",
    "evaluation_step",
    "evaluation_return",
    "evaluation_seconds",
)


class History:
    """Lists of numbers under the names of `_NAMES`."""

    def __init__(self) -> None:
        self.lists: dict[str, list[float]] = {name: [] for name in _NAMES}

    def add_episodes(self, step: int, returns: Any, lengths: Any) -> None:
        """Episodes that ended at one step."""
        count = len(returns)
        self.lists["episode_step"] += [int(step)] * count
        self.lists["episode_return"] += [float(value) for value in returns]
        self.lists["episode_length"] += [int(value) for value in lengths]

    def add_losses(self, step: int, losses: Any) -> None:
        """The mean of the losses since the last call, which must be finite."""
        if not len(losses):
            return
        mean = float(np.mean(losses))
        if not np.isfinite(mean):
            raise FloatingPointError(
                f"The loss is {mean} before step {step}. Lower the learning rate, or "
                "clip gradients with `global_clipnorm` of the optimizer."
            )
        self.lists["loss_step"].append(int(step))
        self.lists["loss"].append(mean)

    def add_evaluation(self, step: int, mean_return: float, seconds: float) -> None:
        """The mean return of greedy episodes and the seconds of training until then."""
        self.lists["evaluation_step"].append(int(step))
        self.lists["evaluation_return"].append(float(mean_return))
        self.lists["evaluation_seconds"].append(float(seconds))
