"""Training steps with two passes, whose update uses gradients at moved weights.

Keras has one body of `train_step` for each backend, and losses, metrics, loss scaling
and JAX's state are reached from there by private names only. Keras 3.12 to 3.15.
"""

import keras
from keras import ops
from keras.src.utils.module_utils import tensorflow as lazy_tensorflow

from keras_strategies._internal.keras_private.gradients import dense_gradient
from keras_strategies._internal.weights.values import assign_values, tensor_copy


def two_pass_step(model, args, moves):
    """A `train_step` whose update uses the gradients at moved weights.

    `args` are the arguments of `train_step` and `moves(gradients, weights)` gives
    what to add to the weights before the second pass. Loss, metrics and moving
    statistics are those of the first pass, and both draw the same random numbers.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        return _jax_step(model, *args, moves)
    if backend == "torch":
        return _eager_step(model, *args, moves, _torch_gradients)
    strategy = lazy_tensorflow.distribute.get_strategy()
    if strategy.num_replicas_in_sync > 1:
        raise ValueError(
            "Weights cannot be moved differently on each replica of a tf.distribute "
            f"strategy. Received: {strategy.num_replicas_in_sync} replicas. Train on "
            "one device, or use the JAX backend with keras.distribution."
        )
    return _eager_step(model, *args, moves, _tensorflow_gradients)


def _jax_step(model, state, data, moves):
    import jax

    trainable, non_trainable, of_optimizer, of_metrics = state
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    compute = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)

    def gradients(weights):
        (_, extra), results = compute(
            weights,
            non_trainable,
            of_metrics,
            x,
            y,
            sample_weight,
            training=True,
            optimizer_variables=of_optimizer,
        )
        return extra, results

    (loss, y_pred, new_non_trainable, of_metrics_now), first = gradients(trainable)
    steps = moves(first, trainable)
    moved = [w + ops.cast(s, w.dtype) for w, s in zip(trainable, steps, strict=True)]
    _, second = gradients(moved)
    trainable, of_optimizer = model.optimizer.stateless_apply(
        of_optimizer, second, trainable
    )
    logs, of_metrics = model._update_metrics_variables(
        of_metrics_now, loss, x, y, y_pred, sample_weight
    )
    return logs, (trainable, new_non_trainable, of_optimizer, of_metrics)


def _eager_step(model, data, moves, gradients):
    """For backends whose variables are assigned inside the step."""
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    if not model.built:  # TensorFlow's `fit` leaves it to the first step
        model(x, training=False)
    weights = list(model.trainable_weights)
    non_trainable = model.non_trainable_variables
    before = [tensor_copy(variable) for variable in non_trainable]
    loss, y_pred, first = gradients(model, x, y, sample_weight, weights)
    count = ops.shape(next(i for i in keras.tree.flatten(x) if i is not None))[0]
    model._loss_tracker.update_state(loss, sample_weight=count)
    after = [tensor_copy(variable) for variable in non_trainable]
    original = [tensor_copy(weight) for weight in weights]
    # A weight without a gradient stays where it is.
    indices = [i for i, gradient in enumerate(first) if gradient is not None]
    values = [original[i] for i in indices]
    steps = moves([first[i] for i in indices], values)
    for index, value, step in zip(indices, values, steps, strict=True):
        weights[index].assign(value + ops.cast(step, value.dtype))
    assign_values(non_trainable, before)
    _, _, second = gradients(model, x, y, sample_weight, weights)
    assign_values(non_trainable, after)
    assign_values(weights, original)
    model.optimizer.apply(second, weights)
    return model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)


def _tensorflow_gradients(model, x, y, sample_weight, weights):
    with lazy_tensorflow.GradientTape() as tape:
        loss, y_pred, scaled = _loss(model, x, y, sample_weight)
    gradients = tape.gradient(scaled, weights)
    return loss, y_pred, [dense_gradient(gradient) for gradient in gradients]


def _torch_gradients(model, x, y, sample_weight, weights):
    loss, y_pred, scaled = _loss(model, x, y, sample_weight)
    model.zero_grad()
    scaled.backward()
    # Copied: the second pass adds to the same tensors.
    grads = [v.value.grad for v in weights]
    return loss, y_pred, [None if g is None else g.detach().clone() for g in grads]


def _loss(model, x, y, sample_weight):
    y_pred = model(x, training=True)
    loss = model._compute_loss(
        x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True
    )
    return loss, y_pred, model.optimizer.scale_loss(loss)
