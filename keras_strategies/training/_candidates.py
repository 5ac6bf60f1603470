"""The ways to run an epoch, and how many steps a launch has."""

from typing import NamedTuple

# Steps of a launch whose data come from the host.
BLOCK_STEPS = 64
# Blocks that are on the device at once: in use, ready, and on their way.
BLOCKS_HELD = 3


class Candidate(NamedTuple):
    """One way to run an epoch.

    Attributes:
        compiler: `"graph"`, `"xla"`, or `"plain"` for whatever the model was compiled
            with.
        launch: `"step"`, `"block"` or `"epoch"`: what one call of a compiled
            function covers.
    """

    compiler: str
    launch: str

    @property
    def name(self):
        return "plain" if self.compiler == "plain" else "-".join(self)

    @property
    def is_launched(self):
        return self.launch != "step"


PLAIN = Candidate("plain", "step")
ALL = [PLAIN] + [
    Candidate(compiler, launch)
    for launch in ("step", "block", "epoch")
    for compiler in ("graph", "xla")
]
BY_NAME = {candidate.name: candidate for candidate in ALL}


def launch_steps(total, most, exact=False):
    """How many of `total` steps one launch takes, at most `most`.

    A divisor of `total` if there is one in the upper half, so that all launches are
    alike; else as even as possible. With `exact`, always a divisor.
    """
    most = max(1, most)
    if total is None:
        return most
    if total <= most:
        return total
    for steps in range(most, 0 if exact else most // 2, -1):
        if total % steps == 0:
            return steps
    launches = -(-total // most)
    return -(-total // launches)


def most_steps(launch, bytes_a_batch, memory_limit):
    """Steps of a launch with blocks within `memory_limit` bytes."""
    fitting = memory_limit // max(1, BLOCKS_HELD * bytes_a_batch)
    return max(1, fitting if launch == "epoch" else min(BLOCK_STEPS, fitting))
