"""Training and pruning of the quickstart's networks."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies import compression
from keras_strategies.cli.quickstart import networks
from keras_strategies.cli.quickstart.data import Digits

SPARSITY = 0.8


class EpochBar(keras.callbacks.Callback):
    """Moves a rich progress bar by one at the end of each epoch."""

    def __init__(self, progress: Any, task: Any) -> None:
        super().__init__()
        self.progress: Any = progress
        self.task: Any = task

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the validation accuracy."""
        accuracy = (logs or {})["val_accuracy"]
        self.progress.update(self.task, advance=1, note=f"val {accuracy:.1%}")


def train(
    digits: Digits, strategies: bool, epochs: int, seed: int, bar: Any
) -> tuple[keras.Model, dict[str, Any]]:
    """Trains one network from one seed; returns it with its History dict."""
    keras.utils.set_random_seed(seed)
    model = networks.build(strategies)
    steps = int(np.ceil(len(digits.x_train) / networks.BATCH_SIZE))
    history = model.fit(
        digits.x_train,
        digits.y_train,
        batch_size=networks.BATCH_SIZE,
        epochs=epochs,
        validation_data=(digits.x_val, digits.y_val),
        callbacks=[*networks.callbacks(strategies, epochs, steps), bar],
        verbose=0,
    )
    return model, history.history


def prune(
    model: keras.Model, digits: Digits, epochs: int, seed: int, bar: Any
) -> compression.SparsityReport:
    """Fine-tunes `model` to 80 % zero weights; returns the sparsity report."""
    keras.utils.set_random_seed(seed)
    steps = epochs * int(np.ceil(len(digits.x_train) / networks.BATCH_SIZE))
    networks.compile_model(model)
    compression.prune(
        model,
        compression.PolynomialSparsity(
            initial_sparsity=0.0,
            final_sparsity=SPARSITY,
            begin_step=0,
            # The rest of the training repairs what pruning cost.
            end_step=max(1, int(0.6 * steps)),
            frequency=max(1, steps // 40),
        ),
    )
    model.fit(
        digits.x_train,
        digits.y_train,
        batch_size=networks.BATCH_SIZE,
        epochs=epochs,
        validation_data=(digits.x_val, digits.y_val),
        callbacks=[*networks.callbacks(True, epochs, steps // epochs), bar],
        verbose=0,
    )
    compression.strip(model)
    return compression.sparsity_report(model)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Returns the fraction of correct classes."""
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def paired_gain(
    plain: Sequence[float], strategies: Sequence[float], level: float = 0.95
) -> dict[str, float]:
    """Mean of the differences seed by seed, with Student's interval.

    Args:
        plain: Test accuracies of the plain networks, one per seed.
        strategies: Those with strategies, in the same order of seeds.
        level: Coverage of the interval.

    Returns:
        `{"mean", "low", "high"}` as fractions.
    """
    from scipy import stats

    differences = np.subtract(strategies, plain)
    mean, n = float(differences.mean()), len(differences)
    error = float(differences.std(ddof=1)) / np.sqrt(n)
    # The seeds are paired, so the interval is that of one mean.
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * error
    return {"mean": mean, "low": mean - half, "high": mean + half}
