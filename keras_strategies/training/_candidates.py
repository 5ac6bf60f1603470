"""Candidates: the ways to run the steps of an epoch."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import keras

from keras_strategies._internal import checks
from keras_strategies.training._data.arrays import Arrays
from keras_strategies.training._data.dataset import Dataset
from keras_strategies.training._xla_support import blocking_rows

# Kinds of step: of `fit`, `evaluate` and `predict`.
KINDS = ("train", "test", "predict")


class Candidate(NamedTuple):
    """One way to run an epoch.

    Attributes:
        compiler: `"graph"`, `"xla"`, `"inductor"` (`torch.compile`), or `"plain"` for
            whatever the model was compiled with.
        granularity: `"step"`, `"block"` or `"epoch"`: what one call of a compiled
            function runs.
    """

    compiler: str
    granularity: str

    @property
    def name(self) -> str:
        return "plain" if self.compiler == "plain" else "-".join(self)

    @property
    def uses_jit(self) -> bool:
        """Whether the steps are what Keras makes with `jit_compile=True`."""
        return self.compiler in ("xla", "inductor")

    @property
    def uses_blocks(self) -> bool:
        """Whether one call runs several steps, unlike in Keras's own loop."""
        return self.granularity != "step"


PLAIN = Candidate("plain", "step")
ALL = [PLAIN] + [
    Candidate(compiler, granularity)
    for granularity in ("step", "block", "epoch")
    for compiler in ("graph", "xla")
]
TORCH = Candidate("inductor", "step")
BY_NAME = {candidate.name: candidate for candidate in [*ALL, TORCH]}


def candidate_names(candidates: Sequence[str] | Literal["auto"]) -> list[str]:
    """Checks the argument `candidates` and returns a list of names."""
    if candidates == "auto":
        return [candidate.name for candidate in ALL]
    checks.instance("candidates", candidates, (list, tuple))
    if not candidates:
        checks.fail("`candidates` must name one at least", candidates=candidates)
    for name in candidates:
        checks.choice("candidates", name, tuple(BY_NAME))
    return list(candidates)


def possible_candidates(
    model: keras.Model, names: Sequence[str], data: Arrays | Dataset
) -> tuple[list[Candidate], list[str]]:
    """Returns the candidates that backend, layers and data allow, and notes on why."""
    candidates = [BY_NAME[name] for name in names]
    backend = keras.backend.backend()
    if backend == "torch":
        if TORCH in candidates:
            return [PLAIN, TORCH] if PLAIN in candidates else [TORCH], []
        note = (
            "On Torch plain `fit` is the only candidate unless you name "
            "'inductor-step', torch.compile, which takes 10 to 30 s to compile."
        )
        return [PLAIN], [note]
    candidates = [item for item in candidates if item != TORCH]
    if not candidates:
        checks.fail("'inductor-step' needs the Torch backend", candidates=names)
    candidates, notes = _for_data(candidates, data)
    if type(model).make_train_function is not keras.Model.make_train_function:
        candidates = [item for item in candidates if not item.uses_blocks]
        notes.append(
            f"{type(model).__name__} has a `make_train_function` of its own, whose "
            "function Keras calls for each step: only single steps were tried."
        )
    if backend == "jax":
        candidates = [item for item in candidates if item.compiler != "graph"]
        notes.append("On JAX every candidate is compiled by XLA.")
    elif blocking := blocking_rows(model):
        candidates = [item for item in candidates if item.compiler != "xla"]
        layers = "; ".join(
            f"{row['layer']} ({row['type']}) {row['reason']}, instead: "
            f"{row['replacement']}"
            for row in blocking
        )
        notes.append(f"XLA was not tried, as layers do not support it: {layers}.")
    if not candidates:
        checks.fail(
            f"no candidate is possible here ({' '.join(notes)})", candidates=names
        )
    return candidates, notes


def _for_data(candidates, data):
    """The candidates for arrays or for the batches of a dataset, with notes."""
    if data.nbytes is not None:
        return candidates, []
    candidates = [item for item in candidates if item.granularity != "epoch"]
    notes = ["A dataset is fed in blocks; it does not stay on the device."]
    if not data.is_fixed:
        candidates = [item for item in candidates if not item.uses_blocks]
        notes.append(
            "Its batches are of strings or of several shapes: only single steps were "
            "tried."
        )
    return candidates, notes
