"""What `prune_filters` removed, layer by layer."""

from keras_strategies._internal import checks
from keras_strategies.compression.filters._analysis import (
    Analysis,
    kept_reason,
    producers,
)
from keras_strategies.compression.filters.flops_report import flops


class FilterReport:
    """The result of `filter_report`: a table, and its totals.

    Attributes:
        rows: One dict a layer that has units or MACs: `layer` (its path), `units` and
            `macs` (pairs: before, after; units `None` for depthwise layers) and
            `kept` (why none of its units can be removed, or `None`).
        macs: MACs of both models, before and after.
        parameters: Parameters of both models, before and after.
        not_counted: Layers whose MACs are not known.
    """

    def __init__(self, rows, macs, parameters, not_counted):
        self.rows = rows
        self.macs = macs
        self.parameters = parameters
        self.not_counted = not_counted

    @property
    def kept(self):
        """`{path: reason}` of the layers of which no unit can be removed."""
        return {row["layer"]: row["kept"] for row in self.rows if row["kept"]}

    def __str__(self):
        width = max([len(row["layer"]) for row in self.rows] + [10])
        lines = [f"{'layer':<{width}}  {'units':>12}  {'MACs':>29}    less  kept"]
        for row in self.rows:
            units = _arrow(row["units"]) if row["units"] else ""
            lines.append(
                f"{row['layer']:<{width}}  {units:>12}  {_arrow(row['macs']):>29}  "
                f"{_less(row['macs']):>6}  {row['kept'] or ''}".rstrip()
            )
        for name, pair in (("total", self.macs), ("parameters", self.parameters)):
            both = f"{_arrow(pair):>29}  {_less(pair):>6}"
            lines.append(f"{name:<{width}}  {'':>12}  {both}")
        if self.not_counted:
            lines.append(f"not counted: {', '.join(self.not_counted)}")
        return "\n".join(lines)


def _arrow(pair):
    return f"{pair[0]:,} > {pair[1]:,}"


def _less(pair):
    return f"{1 - pair[1] / pair[0]:.1%}" if pair[0] else ""


def filter_report(before, after):
    """Compares a model with its pruned copy: units, MACs, and what had to stay.

    Use it after `prune_filters` to see where the work fell and which layers were kept
    whole, with the reason: an output of the model, a layer in their way that is not
    followed, a softmax. `filter_report(model, model)` shows them before pruning.

    MACs (multiply-accumulate operations for one sample) are counted as in `flops`.

    Args:
        before: The model given to `prune_filters`.
        after: What it returned, trained further or not.

    Returns:
        A `FilterReport`: `.rows`, `.macs`, `.parameters`, `.kept`; `print(report)`
        shows a table.

    Raises:
        ValueError: If the models have different layers, or sides of an input are
            `None`.

    Example:

    ```python
    import keras
    from keras_strategies import compression

    model = keras.Sequential([
        keras.Input((20,)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10),
    ])
    report = compression.filter_report(model, compression.prune_filters(model, 0.5))
    print(report)
    print(report.macs, report.kept)  # (1920, 960) {'dense_1': 'output of the model'}
    ```
    """
    old, new = Analysis(before), Analysis(after)
    plans = {plan.path: plan for plan in producers(old)}
    others = {plan.path: plan for plan in producers(new)}
    counts = [flops(before), flops(after)]
    macs = [{row["layer"]: row["macs"] for row in count.rows} for count in counts]
    if plans.keys() != others.keys() or macs[0].keys() != macs[1].keys():
        checks.fail(
            "`before` and `after` must have the same layers",
            fix="Give the model and what `prune_filters` made of it.",
            before=before.name,
            after=after.name,
            differing=sorted(plans.keys() ^ others.keys() | macs[0].keys() ^ macs[1]),
        )
    rows = []
    for path in macs[0]:
        plan = plans.get(path)
        units = (len(plan.units), len(others[path].units)) if plan else None
        pair = (macs[0][path], macs[1][path])
        reason = kept_reason(old, plan) if plan else None
        rows.append({"layer": path, "units": units, "macs": pair, "kept": reason})
    return FilterReport(
        rows,
        tuple(count.macs for count in counts),
        (before.count_params(), after.count_params()),
        counts[0].not_counted,
    )
