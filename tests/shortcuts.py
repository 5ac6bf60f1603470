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
    gc.set_threshold(50_000, 10, 100)


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


def keep_kernels(monkeypatch):
    """Keeps the kernels of eager operations over the tests of a module.

    `clear_session` throws them away, and each test begins with it: the first model
    after it took 11 ms instead of 4.
    """
    from tensorflow.python.eager import context

    monkeypatch.setattr(context.Context, "clear_kernel_cache", lambda self: None)


def forget_kernels():
    """Each variable has a kernel of its own, which would stay for good."""
    from tensorflow.python.eager import context

    context.context().clear_kernel_cache()


def record_no_stacks():
    """Gives each operation of a graph the same stack of Python calls.

    TensorFlow reads all frames, 150 under pytest, for each operation that it traces,
    in case that it fails when it runs.
    """
    from tensorflow.python.util import tf_stack

    stack = tf_stack.extract_stack()
    tf_stack.extract_stack = lambda stacklevel=1: stack


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
    made = {}

    def get_tf_dataset(self):
        inputs = _dense_inputs(self)
        if inputs is None:
            return make(self)
        key = _content(self, inputs)
        if key is None:
            return _batches(self, inputs)
        if key not in made:
            made[key] = _batches(self, inputs)
        return made[key]

    monkeypatch.setattr(adapter, "get_tf_dataset", get_tf_dataset)


def _dense_inputs(adapter):
    import keras
    import numpy as np
    import tensorflow as tf
    from keras.src.trainers.data_adapters import array_slicing

    inputs = array_slicing.convert_to_sliceable(
        adapter._inputs, target_backend="tensorflow"
    )
    dense = np.ndarray | tf.Tensor
    is_dense = all(isinstance(leaf, dense) for leaf in keras.tree.flatten(inputs))
    return inputs if adapter._shuffle in (True, False) and is_dense else None


def _content(adapter, inputs):
    """What the batches depend on, for small data; None where they are not to be kept.

    With a seed, an iterator over batches starts from the seed: keeping them changes
    nothing. Without one each of them draws another order.
    """
    import keras
    import numpy as np
    from tensorflow.python.eager import context

    seed = context.global_seed()
    leaves = [np.asarray(leaf) for leaf in keras.tree.flatten(inputs)]
    size = sum(leaf.nbytes for leaf in leaves)
    if seed is None or size > 100_000 or any(leaf.dtype.hasobject for leaf in leaves):
        return None
    structure = repr(keras.tree.map_structure(lambda leaf: 0, inputs))
    arrays = [(leaf.shape, leaf.dtype.name, leaf.tobytes()) for leaf in leaves]
    settings = adapter._shuffle, adapter._batch_size, adapter._partial_batch_size
    return structure, *arrays, *settings, adapter._num_samples, seed


def _batches(adapter, inputs):
    import keras
    import tensorflow as tf
    from tensorflow.python.data.ops import unbatch_op

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
