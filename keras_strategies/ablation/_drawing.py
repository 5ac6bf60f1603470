"""Pictures of a study: a forest plot and learning curves."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_strategies.ablation._runs.training import FIRST_CONFIRMATION, arm_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = {
    "helps": "#1a7f37",
    "hurts": "#cf222e",
    "no difference": "#0969da",
    "undecided": "#6e7781",
}
_MOST_CURVES = 6


def forest(result: Any, ax: "Axes") -> None:
    """One line a strategy: its interval, and inside it the error by seeds alone."""
    items = [i for i in result.strategies.values() if i.difference is not None]
    for height, item in enumerate(items):
        color = COLORS[item.verdict]
        if item.interval is not None:
            ax.plot(item.interval, [height, height], color=color, linewidth=1.2)
        if item.seed_error is not None:
            reach = np.array([-1, 1]) * item.seed_error
            ax.plot(item.difference + reach, [height, height], color=color, linewidth=4)
        ax.plot(item.difference, height, "o", color=color)
    for verdict, color in COLORS.items():
        if any(item.verdict == verdict for item in items):
            ax.plot([], [], "o", color=color, label=verdict)
    ax.axvline(0, color="#6e7781", linewidth=0.8, linestyle="--")
    ax.set_yticks(range(len(items)), [item.name for item in items])
    ax.invert_yaxis()
    ax.margins(y=0.1)
    ax.set_xlabel(
        f"difference in {result.metric} ({result.direction} is better)\n"
        "thin: 95 % interval, thick: standard error by seeds"
    )
    if items:
        ax.legend(loc="best", fontsize="small")


def curves(result: Any, engine: Any, ax: "Axes", chosen: Sequence[str] | None) -> None:
    """Mean and standard deviation over the runs, after each epoch."""
    if chosen is None:
        decided = [
            name
            for name, item in result.strategies.items()
            if item.verdict in ("helps", "hurts") and item.seeds
        ]
        chosen = decided[:_MOST_CURVES]
    arms = {"baseline": ()} | {name: (name,) for name in chosen}
    if result.design == "leave_one_out":
        everything = tuple(engine.setup.strategies)
        arms = {"all": everything} | {
            f"without {name}": tuple(n for n in everything if n != name)
            for name in chosen
        }
    key = f"val_{result.metric}"
    for number, (label, arm) in enumerate(arms.items()):
        histories = engine.log.histories(arm_name(arm), key, FIRST_CONFIRMATION)
        if not histories:
            continue
        length = min(map(len, histories))
        values = np.array([history[:length] for history in histories])
        mean, spread = values.mean(axis=0), values.std(axis=0)
        epochs = np.arange(1, length + 1)
        color = "#1b1f24" if not number else f"C{number - 1}"
        ax.plot(epochs, mean, color=color, label=label)
        ax.fill_between(epochs, mean - spread, mean + spread, color=color, alpha=0.15)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("epoch")
    ax.set_ylabel(f"{result.metric} on the validation part")
    if ax.lines:
        ax.legend(loc="best", fontsize="small")
    else:
        centre = {"ha": "center", "va": "center", "transform": ax.transAxes}
        ax.text(0.5, 0.5, f"no training has recorded {key}", **centre)
