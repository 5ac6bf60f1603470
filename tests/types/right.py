"""A user's script over public names: type checkers must accept every line.

Read by `scripts/check_types`, not run.
"""

import keras
import numpy as np

import keras_strategies as ks
from keras_strategies import (
    ablation,
    augmentation,
    callbacks,
    compression,
    export,
    initializers,
    layers,
    optimizers,
    recipes,
    regularizers,
    schedules,
    surgery,
    training,
    tuning,
)


def rate() -> float:
    """The learning rate in the middle of a warm-up."""
    schedule = schedules.WarmupSchedule(0.1, warmup_steps=10)
    return float(schedule(5))


def model() -> keras.Model:
    """A network with layers put in by a function of each layer."""
    network = keras.Sequential([keras.Input((8,)), layers.GatedLinearUnit(4)])
    regularizers.apply(network, kernel="l2", include="kernel")
    return surgery.insert(network, "glu", lambda layer: keras.layers.Dropout(0.1))


def watched(network: keras.Model, x: np.ndarray, y: np.ndarray) -> None:
    """Callbacks and an accelerated fit."""
    stop = callbacks.EarlyStopping(monitor="val_loss", patience=3)
    clip = callbacks.GradientClipping(global_clipnorm=1.0)
    network.compile(optimizers.RAdam(1e-3), loss="mse")
    plan = training.accelerate(network, x, y, time_limit=5.0)
    network.fit(x, y, callbacks=[stop, clip])
    text: str = plan.table()
    print(text, plan.choice, plan.is_installed)


def studied(x: np.ndarray, y: np.ndarray) -> list[str]:
    """A study of a strategy of one's own beside one of the catalog."""
    own = ablation.Strategy("Adam", optimizer=lambda old: keras.optimizers.Adam())
    strategies = {"Adam": own, "l2": ablation.catalog("image")["l2"]}
    result = ablation.study(model, (x, y), strategies, metric="loss", epochs=2)
    difference: float | None = result.strategies["l2"].difference
    curve = ablation.learning_curve(model, (x, y), epochs=2)
    low, middle, high = curve.predicted[2]
    print(result.table(), difference, low + middle + high, result.code())
    return result.best().strategies


def smaller(network: keras.Model, x: np.ndarray) -> int:
    """Pruning, counting, export and comparison, with typed results."""
    schedule = compression.PolynomialSparsity(0.0, 0.8, 0, 100)
    compression.prune(network, schedule, include=["dense", network.layers[0]])
    report = compression.flops(network)
    rows: list[str] = [str(row["layer"]) for row in report.rows]
    result = export.to_tflite(network, "m.tflite", representative_data=x)
    if result.agreement is not None and result.agreement < 0.99:
        print(rows, result.to_dict()["warnings"])
    comparison = export.compare(network, "m.tflite", x)
    return report.macs + len(comparison.table())


def searched() -> ks.tuning.Tuner:
    """A search with a typed constructor."""
    hyper = tuning.HyperMLP(input_shape=(8, 8, 1), classes=10)
    return tuning.Tuner(hyper, objective="val_accuracy", max_trials=2)


def seen(tuner: ks.tuning.Tuner) -> float:
    """Results of a search: rows, plots, importance; an oracle as the algorithm."""
    report = tuner.results()
    best: str = report.best[0]["trial"]
    tuning.plot_history(tuner).set_title(best)
    importance = tuning.hyperparameter_importance(tuner, evaluator="fanova")
    path: str = tuning.save_report(tuner, "search.html")
    oracle = tuning.EvolutionOracle("val_loss", max_trials=len(report))
    tuning.Tuner(algorithm=oracle, project_name=path, pruner=tuning.MedianPruner())
    tuning.plot_slices(oracle)
    return importance["units1"] + sum(importance.values())


def pictures(x: np.ndarray) -> str:
    """A generator of images and a report of a network."""
    generator = augmentation.ImageDataGenerator(rotation_range=10.0)
    batches = generator.flow(x, batch_size=4)
    report = initializers.initialization_report(model(), x)
    return f"{batches} {report.to_dataframe()} {ks.__version__}"


def starting_points(x: np.ndarray, y: np.ndarray) -> float:
    """A recipe's ordinary objects, and an agent."""
    recipe = recipes.image_classification(x, y, epochs=3)
    recipe.model.fit(**recipe.fit_arguments)
    agent: recipes.DQNAgent = recipes.dqn("CartPole-v1", dueling=True, n_steps=3)
    history = agent.train(100, target_return=475.0)
    agent.save("agent.npz")
    returns: np.ndarray = recipes.DQNAgent.load("agent.npz").evaluate(episodes=5)
    return sum(history["loss"]) + float(returns.mean())
