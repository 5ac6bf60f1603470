"""Shapley values of the columns of a table."""

import warnings
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.explain._engine.explained import Explained
from keras_strategies.explain._perturbations.single_input import only_input

_COLUMNS = 100


def kernel_shap(
    model: keras.Model,
    inputs: Any,
    target: Any = None,
    *,
    background: Any,
    evaluations: int | None = None,
    seed: int = 0,
    logits: bool = True,
    batch_size: int = 256,
) -> np.ndarray:
    """Shapley values of the columns of a small table, by the `shap` package.

    The one division of the score among the columns that treats them alike: what a
    column adds, averaged over all orders in which the columns could become known. A
    column that is not known takes its values from the background. The values of a
    sample add up to its score less the mean score of the background.

    Needs the `shap` package, in the extra `explain`. The cost grows with the size of
    the background and the number of columns: exact up to about 11 columns, sampled
    beyond. For images and texts take `integrated_gradients`.

    Source: Lundberg and Lee (2017), "A Unified Approach to Interpreting Model
    Predictions", https://arxiv.org/abs/1705.07874.

    Args:
        model: A built Keras model over one table.
        inputs: Samples, `(samples, columns)`, at most 100 columns.
        target: What is explained, as for `saliency`, but no `Region` and no
            `Similarity`. Defaults to `None`, the highest output of each sample.
        background: Samples that columns take their values from, `(rows, columns)`: a
            hundred rows of the training data, or their means as one row.
        evaluations: Subsets of columns that are tried for a sample. Defaults to
            `None`, `2 columns + 2048`, as `shap` has it.
        seed: Seed of the subsets. Defaults to `0`.
        logits: Whether the values before a last softmax or sigmoid are explained.
            Defaults to `True`.
        batch_size: Rows that the model is run on at once. Defaults to `256`.

    Returns:
        float32 array `(samples, columns)`, with signs.

    Raises:
        ImportError: If `shap` is not installed.
        TypeError: If an argument is of the wrong type.
        ValueError: If the inputs are no small table or the background does not fit.

    Example:

    ```python
    import importlib.util
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    x = np.random.default_rng(0).random((20, 4))
    if importlib.util.find_spec("shap"):  # pip install 'keras-strategies[explain]'
        values = explain.kernel_shap(model, x[:2], target=1, background=x)
    ```
    """
    checks.integer("evaluations", evaluations, low=1, optional=True)
    checks.integer("seed", seed, low=0)
    explained = Explained(model, inputs, target, logits=logits, batch_size=batch_size)
    table, rows = _tables(explained, background)
    explained.fix_target()
    shap = _shap()
    values = np.empty(table.shape, "float32")
    # `shap` draws from NumPy's global generator: the user's is put back.
    state = np.random.get_state()  # noqa: NPY002
    try:
        for index, sample in enumerate(table):
            np.random.seed(seed)  # noqa: NPY002
            explainer = shap.KernelExplainer(_scores_of(explained, index), rows)
            options = {} if evaluations is None else {"nsamples": evaluations}
            values[index] = explainer.shap_values(
                sample, silent=True, l1_reg=0, **options
            )
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return values


def _shap():
    with warnings.catch_warnings():
        # Its import calls what Matplotlib is going to remove.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return require("shap", "`explain.kernel_shap`")


def _scores_of(explained, index):
    """The score that is explained for one sample, as a function of other rows."""

    def scores(rows):
        rows = np.asarray(rows, "float32")
        sample = np.full(len(rows), index)

        def make(positions):
            return [rows[positions]], sample[positions]

        return explained.scores(len(rows), make)

    return scores


def _tables(explained, background):
    position = only_input(explained)
    table = explained.inputs.flat[position]
    if len(explained.inputs.flat) > 1 or table.ndim != 2 or table.shape[1] > _COLUMNS:
        checks.fail(
            f"kernel_shap needs one table of at most {_COLUMNS} columns",
            fix="Use integrated_gradients for images, texts and large tables.",
            shapes=[array.shape for array in explained.inputs.flat],
        )
    rows = np.asarray(background, "float32")
    if rows.ndim != 2 or rows.shape[1:] != table.shape[1:] or not len(rows):
        checks.fail(
            "`background` must be rows with the columns of the inputs",
            background=rows.shape,
            inputs=table.shape,
        )
    if not np.isfinite(rows).all():
        checks.fail(
            "`background` must be finite", not_finite=int((~np.isfinite(rows)).sum())
        )
    return table, rows
