"""Shorter ways to the same numbers, for a quick run on TensorFlow.

Two thirds of what a small `fit` costs there is TensorFlow at work on the graph of a
step that then runs a handful of times. `--full` runs without these.
"""

import gc
import pathlib

_TESTS = pathlib.Path(__file__).parent


def collect_rarely():
    """Leaves what importing and collecting made out of every garbage collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 25)


def optimize_no_graphs():
    """Leaves Grappler's passes out, which rewrite each graph before its first run."""
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def forget_gradients():
    """Forgets the gradients that TensorFlow registers for each traced step, for good.

    Each holds the graph that it was traced in: 6,000 objects and 5 MB a `fit`. What
    outlives a module (imports, caches of TensorFlow and Keras) outlives the run:
    collections after it need not visit it again, which took 0.6 s for each module.
    """
    from tensorflow.python.framework import ops

    registered = ops.gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]
    gc.collect()
    gc.freeze()


# Where it matters that TensorFlow builds optimizers while it traces the first step.
_AS_IT_IS = {"_internal", "callbacks", "composition", "optimizers"}


def trace_once(path, monkeypatch):
    """Builds optimizer and metrics before a step is traced, as JAX and Torch do.

    Variables that are made while `tf.function` traces cost a second trace. The tests
    of what stands inside or around an optimizer go without, and so does `--full`.
    """
    import keras
    import tensorflow as tf

    if path.relative_to(_TESTS).parts[0] in _AS_IT_IS:
        return
    make = keras.Model._make_function

    def make_function(model, step_function):
        function, prepared = make(model, step_function), False

        def prepared_function(iterator):
            nonlocal prepared
            if not prepared and isinstance(iterator, tf.data.Iterator):
                _build(model, iterator.element_spec)
            prepared = True
            return function(iterator)

        return prepared_function

    monkeypatch.setattr(keras.Model, "_make_function", make_function)


def batch_at_once(monkeypatch):
    """Batches arrays with one function that is traced, or none, where Keras maps three.

    The batches are the same. Keras's cost 15 to 20 ms for each `fit`, each validation,
    `evaluate` and `predict`; they are made for data that do not fit into a cache.
    """
    from keras.src.trainers.data_adapters import array_data_adapter

    adapter = array_data_adapter.ArrayDataAdapter
    make = adapter.get_tf_dataset
    monkeypatch.setattr(
        adapter, "get_tf_dataset", lambda self: _batches(self) or make(self)
    )


def _batches(adapter):
    import keras
    import numpy as np
    import tensorflow as tf
    from keras.src.trainers.data_adapters import array_slicing
    from tensorflow.python.data.ops import unbatch_op

    inputs = array_slicing.convert_to_sliceable(
        adapter._inputs, target_backend="tensorflow"
    )
    dense = np.ndarray | tf.Tensor
    is_dense = all(isinstance(leaf, dense) for leaf in keras.tree.flatten(inputs))
    if adapter._shuffle not in (True, False) or not is_dense:
        return None
    inputs = keras.tree.map_structure(tf.convert_to_tensor, inputs)
    inputs = keras.tree.lists_to_tuples(inputs)

    @tf.autograph.experimental.do_not_convert
    def permutation(_):
        indices = tf.random.shuffle(tf.range(adapter._num_samples, dtype=tf.int64))
        return keras.tree.map_structure(lambda x: tf.gather(x, indices), inputs)

    if adapter._shuffle:
        samples = unbatch_op._UnbatchDataset(tf.data.Dataset.range(1).map(permutation))
    else:
        samples = tf.data.Dataset.from_tensor_slices(inputs)
    # Without a shorter last batch the size is part of the shape, as in Keras.
    even = not adapter._partial_batch_size
    batches = samples.batch(adapter._batch_size, drop_remainder=even)
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.experimental_external_state_policy = (
        tf.data.experimental.ExternalStatePolicy.IGNORE
    )
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return batches.with_options(options).prefetch(tf.data.AUTOTUNE)


def _build(model, element_spec):
    import keras

    if model.run_eagerly or not all(layer.built for layer in model._flatten_layers()):
        return
    # The metrics of several outputs are variables too, made with the first loss.
    several = len(getattr(model, "outputs", None) or [None]) > 1
    metrics = model._compile_metrics
    if several or (metrics is not None and not metrics.built):
        model._symbolic_build(
            data_batch=keras.tree.map_structure(_symbolic, element_spec)
        )
    elif model.optimizer is not None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def _symbolic(spec):
    import keras

    # What is missing in a batch is an `Optional`, without a shape.
    if not hasattr(spec, "dtype"):
        return None
    return keras.KerasTensor(spec.shape, keras.backend.standardize_dtype(spec.dtype))
