"""`filter_report`: a model and its pruned copy, compared layer by layer."""

import keras

from keras_strategies._internal import checks
from keras_strategies.compression.filters._analysis import (
    Analysis,
    frozen_reason,
    producers,
)
from keras_strategies.compression.filters._count_flops import flops
from keras_strategies.compression.filters.filter_report import FilterReport


def filter_report(before: keras.Model, after: keras.Model) -> FilterReport:
    """Compares a model with its pruned copy: units, MACs, and layers kept whole.

    Use it after `prune_filters` to see where operations were saved and which layers
    were kept whole, with the reason: an output of the model, a layer after them that
    is not supported, a softmax. `filter_report(model, model)` shows them before
    pruning.

    MACs (multiply-accumulate operations for one sample) are counted as in `flops`.

    Args:
        before: The model given to `prune_filters`.
        after: What it returned, trained further or not.

    Returns:
        A `FilterReport`: `.rows`, `.macs`, `.parameters`, `.kept`; `print(report)`
        shows a table, `.plot()` a picture.

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
    # Reasons are those of the old model; the new one has the same.
    old, new = Analysis(before), Analysis(after)
    old_plans = {plan.path: plan for plan in producers(old)}
    new_plans = {plan.path: plan for plan in producers(new)}
    counts = [flops(before), flops(after)]
    macs = [{row["layer"]: row["macs"] for row in count.rows} for count in counts]
    differing = old_plans.keys() ^ new_plans.keys() | macs[0].keys() ^ macs[1].keys()
    if differing:
        checks.fail(
            "`before` and `after` must have the same layers",
            fix="Give the model and what `prune_filters` made of it.",
            before=before.name,
            after=after.name,
            differing=sorted(differing),
        )
    rows = []
    for path in macs[0]:
        plan, units, reason = old_plans.get(path), None, None
        if plan is not None:
            units = (len(plan.units), len(new_plans[path].units))
            reason = frozen_reason(old, plan)
        pair = (macs[0][path], macs[1][path])
        rows.append({"layer": path, "units": units, "macs": pair, "kept": reason})
    return FilterReport(
        rows,
        (counts[0].macs, counts[1].macs),
        (before.count_params(), after.count_params()),
        counts[0].not_counted,
    )
