"""Random trainings, each with plain `fit` and under a plan: is everything the same?

A seed draws a model, an optimizer, callbacks, a source of data and arguments of `fit`.
Both trainings start from the same weights and random states. Compared are weights,
variables of optimizer and metrics, history, the order and the logs of hooks, files,
and Python's and NumPy's random states afterwards. Where plain `fit` raises, the plan
has to raise too.
"""

import argparse
import os
import random
import tempfile
import time
import warnings
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers as kl

from keras_strategies import callbacks as kc
from keras_strategies import compression, training

BATCH = 8
# Rounding of a compiler; of states and gradients that nothing is divided by.
TOLERANCE = 2e-4


class Case(NamedTuple):
    """What a seed draws.

    Attributes:
        model: Name of a model.
        optimizer: Name of an optimizer.
        callbacks: Names of callbacks.
        source: `"arrays"`, `"tf.data"` or `"PyDataset"`.
        candidate: Name of the candidate of the plan.
        arguments: Arguments of `fit`.
        rows: Number of rows.
        fits: How many fits follow each other.
        policy: Dtype policy.
        jit_compile: Argument of `compile`.
        steps_per_execution: Argument of `compile`.
    """

    model: str
    optimizer: str
    callbacks: tuple[str, ...]
    source: str
    candidate: str
    arguments: dict[str, Any]
    rows: int
    fits: int
    policy: str
    jit_compile: Any
    steps_per_execution: int = 1


class OwnStep(keras.Model):
    """A training step with logs of its own."""

    def train_step(self, *arguments):
        result = super().train_step(*arguments)
        logs, *state = result if isinstance(result, tuple) else (result,)
        logs = {**logs, "twice": 2.0 * logs["loss"]}
        return (logs, *state) if state else logs


class OwnLoss(keras.Model):
    """A loss with a term of the predictions."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, **named):
        loss = super().compute_loss(x, y, y_pred, sample_weight, **named)
        return loss + 0.1 * keras.ops.mean(keras.ops.square(y_pred))


@keras.saving.register_keras_serializable("fuzz_training")
class Penalty(kl.Layer):
    """Adds a loss of its inputs."""

    def call(self, inputs):
        self.add_loss(0.01 * keras.ops.mean(keras.ops.square(inputs)))
        return inputs


class Noise(kl.Layer):
    """Draws from a generator that is no attribute of its own."""

    def __init__(self):
        super().__init__()
        self.seeds = [{"noise": keras.random.SeedGenerator(5)}]

    def call(self, inputs, training=None):
        seed = self.seeds[0]["noise"]
        noise = keras.random.normal(keras.ops.shape(inputs), stddev=0.1, seed=seed)
        return inputs + noise if training else inputs


def dense():
    inputs = keras.Input((6,))
    return keras.Model(inputs, kl.Dense(3)(kl.Dense(8, activation="tanh")(inputs)))


def normalized():
    inputs = keras.Input((6,))
    hidden = kl.BatchNormalization()(kl.Dense(8, activation="relu")(inputs))
    return keras.Model(inputs, kl.Dense(3, kernel_regularizer="l2")(hidden))


def dropout():
    inputs = keras.Input((6,))
    return keras.Model(inputs, kl.Dense(3)(kl.Dropout(0.3, seed=1)(inputs)))


def noisy():
    inputs = keras.Input((6,))
    return keras.Model(inputs, kl.Dense(3)(Noise()(inputs)))


def penalized():
    inputs = keras.Input((6,))
    return keras.Model(inputs, kl.Dense(3)(Penalty()(kl.Dense(8)(inputs))))


def recurrent():
    inputs = keras.Input((5,), dtype="int32")
    embedded = kl.Embedding(7, 4, mask_zero=True)(inputs)
    return keras.Model(inputs, kl.Dense(3)(kl.GRU(4)(embedded)))


def transformer():
    inputs = keras.Input((5,), dtype="int32")
    embedded = kl.Embedding(7, 4)(inputs)
    attended = kl.MultiHeadAttention(2, 2)(embedded, embedded)
    hidden = kl.LayerNormalization()(kl.Add()([embedded, attended]))
    return keras.Model(inputs, kl.Dense(3)(kl.GlobalAveragePooling1D()(hidden)))


def convolutional():
    inputs = keras.Input((6, 1))
    hidden = kl.Conv1D(4, 3, activation="relu")(inputs)
    return keras.Model(inputs, kl.Dense(3)(kl.Flatten()(hidden)))


def own_step():
    inputs = keras.Input((6,))
    return OwnStep(inputs, kl.Dense(3)(inputs))


def own_loss():
    inputs = keras.Input((6,))
    return OwnLoss(inputs, kl.Dense(3)(inputs))


def branched():
    left, right = keras.Input((4,), name="left"), keras.Input((2,), name="right")
    joined = kl.Dense(6, activation="tanh")(kl.Concatenate()([left, right]))
    outputs = {
        "kind": kl.Dense(3, name="kind")(joined),
        "size": kl.Dense(1, name="size")(joined),
    }
    return keras.Model({"left": left, "right": right}, outputs)


def pruned():
    schedule = compression.PolynomialSparsity(0.2, 0.6, begin_step=2, end_step=20)
    return compression.prune(dense(), schedule)


def quantized():
    return compression.quantize_aware(dense())


MODELS = {
    item.__name__: item
    for item in (
        dense,
        normalized,
        dropout,
        noisy,
        penalized,
        recurrent,
        transformer,
        convolutional,
        own_step,
        own_loss,
        branched,
        pruned,
        quantized,
    )
}
TOKENS = ("recurrent", "transformer")
RANDOM = ("dropout", "noisy")

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.01, epsilon=1e-3),
    "clipped": lambda: keras.optimizers.SGD(0.1, momentum=0.5, global_clipnorm=0.5),
    "accumulating": lambda: keras.optimizers.SGD(0.1, gradient_accumulation_steps=2),
    "averaging": lambda: keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True),
    "scheduled": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(0.1, 30), momentum=0.9
    ),
}


class Reader(keras.callbacks.Callback):
    """Reads the logs of each batch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        self.seen.append(("begin", batch, 0.0))

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(("end", batch, float(logs["loss"])))


class Watcher(keras.callbacks.Callback):
    """Looks at the weights between steps, at epochs and in the validation."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def _note(self, name, number):
        weights = self.model.trainable_weights[0]
        total = keras.ops.convert_to_numpy(keras.ops.sum(keras.ops.abs(weights)))
        self.seen.append((name, number, float(total)))

    def on_train_batch_end(self, batch, logs=None):
        self._note("train", batch)

    def on_test_batch_end(self, batch, logs=None):
        self.seen.append(("test", batch, float(logs["loss"])))

    def on_epoch_end(self, epoch, logs=None):
        self._note("epoch", epoch)


class Stopper(keras.callbacks.Callback):
    """Stops after a few steps of the second epoch."""

    seen = ()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 1 and batch == 2:
            self.model.stop_training = True


class Raiser(keras.callbacks.Callback):
    """Ends a training within an epoch, without a look at the model."""

    seen = ()

    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            raise RuntimeError(f"at {batch}")


class Controller:
    """A part of the training in an object that is no part of it."""

    def __init__(self, variable):
        self.variables = [variable]

    def update(self, loss):
        self.variables[0].assign(0.1 / (1.0 + loss))


class Controlled(keras.callbacks.Callback):
    """Sets the rate from the loss, through an object."""

    seen = ()

    def on_train_begin(self, logs=None):
        optimizer = getattr(self.model.optimizer, "inner_optimizer", None)
        optimizer = optimizer or self.model.optimizer
        self.controller = None
        if isinstance(optimizer._learning_rate, keras.Variable):
            self.controller = Controller(optimizer._learning_rate)

    def on_train_batch_end(self, batch, logs=None):
        if self.controller is not None:
            self.controller.update(float(logs["loss"]))


CALLBACKS = {
    "cosine": lambda folder: kc.CosineDecayScheduler(
        0.1, decay_steps=40, update="batch"
    ),
    "one cycle": lambda folder: kc.OneCycleScheduler(0.2, total_steps=60),
    "weight decay": lambda folder: kc.WeightDecayScheduler(
        lambda step: 0.001 * step, update="batch"
    ),
    "clipping": lambda folder: kc.GradientClipping(global_clipnorm=0.5),
    "averages": lambda folder: kc.WeightAveraging(decay=0.9),
    "some averages": lambda folder: kc.WeightAveraging(decay=0.9, update_freq=3),
    "norms": lambda folder: kc.GradientMonitor(),
    "recovery": lambda folder: kc.NaNRecovery(verbose=0),
    "smoothing": lambda folder: kc.LabelSmoothingScheduler({0: 0.1, 1: 0.0}),
    "plateau": lambda folder: kc.ReduceOnPlateau("loss", patience=0, min_delta=1.0),
    "reader": lambda folder: Reader(),
    "watcher": lambda folder: Watcher(),
    "stopper": lambda folder: Stopper(),
    "not a number": lambda folder: keras.callbacks.TerminateOnNaN(),
    "checkpoint": lambda folder: keras.callbacks.ModelCheckpoint(
        os.path.join(folder, "{epoch}-{batch}.weights.h5"),
        save_freq=3,
        save_weights_only=True,
    ),
    "log": lambda folder: keras.callbacks.CSVLogger(os.path.join(folder, "log.csv")),
    "early": lambda folder: keras.callbacks.EarlyStopping("loss", patience=1),
    "raiser": lambda folder: Raiser(),
    "controlled": lambda folder: Controlled(),
}
# Drawn apart, so that a seed draws what it drew before there were these.
LATER = ("noisy", "raiser", "controlled")


class Batches(keras.utils.PyDataset):
    """Arrays in batches."""

    def __init__(self, arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return -(-len(keras.tree.flatten(self.arrays)[0]) // BATCH)

    def __getitem__(self, index):
        rows = slice(index * BATCH, (index + 1) * BATCH)
        return keras.tree.map_structure(lambda leaf: leaf[rows], self.arrays)


def draw(seed: int) -> Case:
    """Returns the case of a seed."""
    rng = random.Random(seed)
    backend = keras.backend.backend()
    graph = ["graph-block", "graph-epoch", "xla-epoch", "xla-block"]
    source = rng.choice(["arrays"] * 3 + ["tf.data", "PyDataset"])
    later = random.Random(f"after {seed}")
    model = rng.choice([name for name in MODELS if name not in LATER])
    callbacks = [name for name in CALLBACKS if name not in LATER]
    names = rng.sample(callbacks, rng.randrange(4))
    if later.random() < 0.15:
        names.insert(later.randrange(len(names) + 1), later.choice(LATER[1:]))
    if model == "dropout" and later.random() < 0.4:
        model = "noisy"
    jit = rng.choice([False, False, True])
    # Random numbers differ between compilers: the same one for both.
    candidates = graph if backend == "tensorflow" else ["xla-epoch", "xla-block"]
    if backend == "tensorflow" and model in RANDOM:
        candidates = graph[2:] if jit else graph[:2]
    if source != "arrays":
        candidates = [name for name in candidates if name.endswith("block")]
    rows = rng.choice([24, 40, 43, 67])
    arguments: dict[str, Any] = {"epochs": rng.choice([1, 2, 3]), "shuffle": False}
    if rng.random() < 0.3:
        arguments.update(initial_epoch=1, epochs=arguments["epochs"] + 1)
    if source == "arrays":
        if rng.random() < 0.3:
            arguments["sample_weight"] = True
        elif rng.random() < 0.2 and model != "branched":
            arguments["class_weight"] = {0: 1.0, 1: 2.0, 2: 0.5}
        if rng.random() < 0.3:
            arguments["validation_split"] = 0.25
        if rng.random() < 0.2:
            arguments["steps_per_epoch"] = 2
    if "validation_split" not in arguments and rng.random() < 0.5:
        arguments["validation_data"] = True
        arguments["validation_freq"] = rng.choice([1, 2])
    policy = rng.choice(["float32"] * 4 + ["mixed_bfloat16"])
    optimizer = rng.choice(list(OPTIMIZERS))
    fits = rng.choice([1, 1, 2])
    candidate = rng.choice(candidates)
    if policy != "float32":
        # Each operation on its own rounds to fewer bits than a program: both ways with
        # XLA or both without.
        jit = candidate.startswith("xla")
    settings = (model, optimizer, tuple(names), source, candidate)
    steps = later.choice([1, 1, 1, 1, 1, 3])
    return Case(*settings, arguments, rows, fits, policy, jit, steps)


def data_of(case: Case, rows: int, seed: int) -> tuple[Any, Any]:
    """Returns `(x, y)` for the model of a case."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, size=rows)
    if case.model in TOKENS:
        return rng.integers(0, 7, size=(rows, 5)).astype("int32"), y
    x = rng.normal(size=(rows, 6)).astype("float32")
    if case.model == "convolutional":
        return x[:, :, None], y
    if case.model == "branched":
        inputs = {"left": x[:, :4], "right": x[:, 4:]}
        return inputs, {"kind": y, "size": x[:, :1]}
    return x, y


def arguments_of(case: Case) -> dict[str, Any]:
    """Returns the arguments of `fit`, data included."""
    x, y = data_of(case, case.rows, 0)
    given = {**case.arguments, "verbose": 0}
    if given.pop("sample_weight", False):
        weights = np.linspace(0.5, 1.5, case.rows).astype("float32")
        both = {"kind": weights, "size": weights}
        given["sample_weight"] = both if case.model == "branched" else weights
    if given.pop("validation_data", False):
        given["validation_data"] = data_of(case, 21, 1)
    if case.source == "arrays":
        return {**given, "x": x, "y": y, "batch_size": BATCH}
    if case.source == "PyDataset":
        return {**given, "x": Batches((x, y))}
    import tensorflow as tf

    return {**given, "x": tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)}


def compiled(case: Case) -> keras.Model:
    """Returns the model of a case, compiled."""
    with_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(case.policy)
    try:
        model = MODELS[case.model]()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        metrics: Any = ["accuracy"]
        if case.model == "branched":
            loss, metrics = {"kind": loss, "size": "mse"}, {"kind": ["accuracy"]}
        optimizer = OPTIMIZERS[case.optimizer]()
        model.compile(
            optimizer,
            loss,
            metrics=metrics,
            jit_compile=case.jit_compile,
            steps_per_execution=case.steps_per_execution,
        )
    finally:
        keras.config.set_dtype_policy(with_policy)
    return model


class Outcome(NamedTuple):
    """What is compared: named values, and the error if there was one."""

    values: dict[str, Any]
    error: str | None


def outcome(case: Case, planned: bool) -> Outcome:
    """Returns the outcome of the trainings of a case."""
    keras.utils.set_random_seed(17)
    values: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        try:
            model = compiled(case)
            given = arguments_of(case)
            if planned:
                names = ("x", "y", "batch_size")
                data = {name: given[name] for name in names if name in given}
                training.accelerate(model, **data, candidates=[case.candidate])
            for number in range(case.fits):
                _separate(model)
                listed = [CALLBACKS[name](folder) for name in case.callbacks]
                history = model.fit(**given, callbacks=listed)
                values[f"history {number}"] = history.history
                values[f"epochs {number}"] = [float(epoch) for epoch in history.epoch]
                for name, callback in zip(case.callbacks, listed, strict=True):
                    seen = getattr(callback, "seen", ())
                    values[f"hooks {name} {number}"] = [item[:2] for item in seen]
                    values[f"seen {name} {number}"] = [item[2] for item in seen]
        except Exception as error:
            if isinstance(error, RuntimeError) and str(error).startswith("at "):
                values["weights"] = model.get_weights()  # up to that step
            return Outcome(values, f"{type(error).__name__}: {error}"[:300])
        values["weights"] = model.get_weights()
        values["optimizer"] = [np.array(v) for v in _arrays(model.optimizer.variables)]
        values["metrics"] = [np.array(v) for v in _arrays(model.metrics_variables)]
        values["files"] = sorted(os.listdir(folder))
        values["random"] = [random.random(), float(np.random.random())]
    return Outcome(values, None)


def _separate(model):
    """Gives each variable an array of its own.

    `use_ema` of Keras ends a fit with weights that share the arrays of their averages,
    which the next fit on JAX refuses to give away twice; that of a plan goes on.
    """
    if keras.backend.backend() == "jax":
        for variable in model.optimizer.variables:
            variable.assign(keras.ops.copy(variable.value))


def _arrays(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def difference(case: Case) -> str | None:
    """Returns what differs between plain `fit` and the plan, `None` if nothing does."""
    plain, planned = outcome(case, False), outcome(case, True)
    if (plain.error is None) != (planned.error is None):
        return f"plain: {plain.error}, plan: {planned.error}"
    tolerance = 2e-2 if case.policy != "float32" else TOLERANCE
    for name, expected in plain.values.items():
        if name not in planned.values:
            return f"{name} is missing"
        if not _same(expected, planned.values[name], tolerance):
            return f"{name}: {_short(expected)} and {_short(planned.values[name])}"
    return None


def _same(expected, found, tolerance):
    if isinstance(expected, dict):
        return list(expected) == list(found) and all(
            _same(expected[name], found[name], tolerance) for name in expected
        )
    if isinstance(expected, list | tuple):
        return len(expected) == len(found) and all(
            _same(one, other, tolerance)
            for one, other in zip(expected, found, strict=True)
        )
    if isinstance(expected, str):
        return expected == found
    one, other = (np.asarray(v, "float64") for v in (expected, found))
    return one.shape == other.shape and np.allclose(
        one, other, rtol=tolerance, atol=tolerance, equal_nan=True
    )


def _short(value):
    return repr(value)[:300]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--verbose", action="store_true", help="print each case")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    different = []
    for seed in range(given.first, given.first + given.seeds):
        case, begin = draw(seed), time.perf_counter()
        problem = difference(case)
        if given.verbose or problem:
            seconds = time.perf_counter() - begin
            print(f"{seed}: {case} {seconds:.0f} s", problem or "equal", flush=True)
        if problem:
            different.append(seed)
        keras.backend.clear_session()
    equal = given.seeds - len(different)
    print(
        f"{keras.backend.backend()}: {equal} of {given.seeds} are equal or refused by "
        f"both; different: {different or 'none'}"
    )
    if different:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
