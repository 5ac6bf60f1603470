"""Two small networks with given weights, and models with steps of their own."""

import keras
import numpy as np

from tests.composition import formulas

BACKEND = keras.backend.backend()
SAMPLES, BATCH = 32, 4
RNG = np.random.default_rng(7)
FEATURES = RNG.normal(size=(SAMPLES, 3)).astype("float32")
TOKENS = RNG.integers(0, 5, size=(SAMPLES, 3)).astype("int32")
TOKENS[:, 1] = TOKENS[:, 0]  # every sample uses a row of the table twice
TARGETS = RNG.normal(size=(SAMPLES, 1)).astype("float32")
TARGETS[8:12] *= 6.0  # one batch with large gradients
WEIGHTS = [
    RNG.uniform(0.2, 0.8, size=shape) * RNG.choice([-1, 1], size=shape)
    for shape in ((3, 2), (2,), (2, 1), (1,))
]
TABLE = [
    RNG.uniform(0.2, 0.8, size=shape) * RNG.choice([-1, 1], size=shape)
    for shape in ((5, 2), (6, 1), (1,))
]


def start(is_embedding, dtype):
    """The first weights, of the precision of the variables."""
    weights = TABLE if is_embedding else WEIGHTS
    return [
        keras.ops.convert_to_numpy(
            keras.ops.cast(keras.ops.convert_to_tensor(np.float32(w)), dtype)
        ).astype("float64")
        for w in weights
    ]


def batches(is_embedding):
    x = TOKENS if is_embedding else FEATURES.astype("float64")
    y = TARGETS.astype("float64")
    return [(x[i : i + BATCH], y[i : i + BATCH]) for i in range(0, SAMPLES, BATCH)]


def by_hand_network(is_embedding):
    return formulas.Embedded() if is_embedding else formulas.TwoDense()


def _given(value):
    def initializer(shape, dtype=None):
        assert tuple(shape) == value.shape
        return keras.ops.cast(keras.ops.convert_to_tensor(np.float32(value)), dtype)

    return initializer


def _dense(units, kernel, bias, name):
    return keras.layers.Dense(
        units,
        kernel_initializer=_given(kernel),
        bias_initializer=_given(bias),
        name=name,
    )


def layers(is_embedding):
    if is_embedding:
        table, kernel, bias = TABLE
        embedding = keras.layers.Embedding(
            5, 2, embeddings_initializer=_given(table), name="backbone"
        )
        return [embedding, keras.layers.Flatten(), _dense(1, kernel, bias, "head")]
    return [
        _dense(2, WEIGHTS[0], WEIGHTS[1], "backbone"),
        _dense(1, WEIGHTS[2], WEIGHTS[3], "head"),
    ]


def model(is_embedding=False, is_built=True, cls=keras.Sequential, **arguments):
    dtype = "int32" if is_embedding else None
    first = [keras.Input((3,), dtype=dtype)] if is_built else []
    return cls([*first, *layers(is_embedding)], **arguments)


class Stepping(keras.Sequential):
    """Steps `count` times on each batch, by a training step of its own."""

    count = 1

    def train_step(self, *arguments):
        return getattr(self, f"_{BACKEND}_step")(*arguments)

    def _tensorflow_step(self, data):
        import tensorflow as tf

        x, y = data
        for _ in range(self.count):
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
                loss = self.optimizer.scale_loss(loss)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": tf.constant(0.0)}

    def _torch_step(self, data):
        import torch

        x, y = data
        for _ in range(self.count):
            self.zero_grad()
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
            self.optimizer.scale_loss(loss).backward()
            gradients = [v.value.grad for v in self.trainable_variables]
            with torch.no_grad():
                self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": 0.0}

    def _jax_step(self, state, data):
        import jax

        trainable, non_trainable, of_optimizer, metrics = state
        x, y = data
        gradients = jax.grad(self.compute_loss_and_updates, has_aux=True)
        for _ in range(self.count):
            found, (_, _, non_trainable, metrics) = gradients(
                trainable,
                non_trainable,
                metrics,
                x,
                y,
                None,
                training=True,
                optimizer_variables=of_optimizer,
            )
            trainable, of_optimizer = self.optimizer.stateless_apply(
                of_optimizer, found, trainable
            )
        return {"loss": 0.0}, (trainable, non_trainable, of_optimizer, metrics)


class Zero(Stepping):
    count = 0


class Twice(Stepping):
    count = 2


class TwoOptimizers(keras.Sequential):
    """The backbone by one optimizer, then the head by another, on each batch."""

    def train_step(self, *arguments):
        return getattr(self, f"_{BACKEND}_step")(*arguments)

    def parts(self):
        both = self.trainable_variables
        return [(self.optimizer, both[:2]), (self.second, both[2:])]

    def _tensorflow_step(self, data):
        import tensorflow as tf

        x, y = data
        for optimizer, variables in self.parts():
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
                loss = optimizer.scale_loss(loss)
            optimizer.apply(tape.gradient(loss, variables), variables)
        return {"loss": tf.constant(0.0)}

    def _torch_step(self, data):
        import torch

        x, y = data
        for optimizer, variables in self.parts():
            self.zero_grad()
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
            optimizer.scale_loss(loss).backward()
            gradients = [v.value.grad for v in variables]
            with torch.no_grad():
                optimizer.apply(gradients, variables)
        return {"loss": 0.0}


def fit_two_optimizers(network, first, second):
    """As the steps of `TwoOptimizers`; on JAX by hand, where `fit` has one optimizer.

    Each is built for its own weights: `fit` would build the first one for all, on
    Torch.
    """
    parts = [(first, slice(0, 2)), (second, slice(2, 4))]
    for optimizer, part in parts:
        optimizer.build(network.trainable_variables[part])
    if BACKEND != "jax":
        network.compile(first, loss="mse", jit_compile=False)
        network.second = second
        return fit(network)
    import jax

    values = [v.value for v in network.trainable_variables]
    states = [[v.value for v in optimizer.variables] for optimizer, _ in parts]

    def loss(chosen, values, part, x, y, scale):
        values = [*values[: part.start], *chosen, *values[part.stop :]]
        outputs, _ = network.stateless_call(values, [], x)
        return scale(keras.ops.mean(keras.ops.square(outputs - y)))

    for i in range(0, SAMPLES, BATCH):
        x, y = FEATURES[i : i + BATCH], TARGETS[i : i + BATCH]
        for k, (optimizer, part) in enumerate(parts):
            scale = optimizer.scale_loss
            gradients = jax.grad(loss)(values[part], values, part, x, y, scale)
            new, states[k] = optimizer.stateless_apply(
                states[k], gradients, values[part]
            )
            values[part] = new
            for variable, value in zip(optimizer.variables, states[k], strict=True):
                variable.assign(np.array(value))
    for variable, value in zip(network.trainable_variables, values, strict=True):
        variable.assign(np.array(value))
    return None


def fit(network, is_embedding=False):
    x = TOKENS if is_embedding else FEATURES
    network.fit(x, TARGETS, batch_size=BATCH, shuffle=False, verbose=0)
