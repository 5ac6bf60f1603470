"""Blocks of training steps as one call of a compiled function inside `fit`."""

import contextlib
import inspect

import keras
import numpy as np
from keras.src import backend
from keras.src.backend.common import global_state
from keras.src.trainers.data_adapters import (
    array_slicing,
    data_adapter_utils,
    get_data_adapter,
    is_tf_dataset,
)
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.data_adapter import DataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter


class BlockAdapter(DataAdapter):
    """Passes an iterable of blocks to `fit`, `evaluate` or `predict` as data.

    The loops of Keras take any `DataAdapter` as `x` and pass its items to
    `train_function` unchanged; that is all they need for callbacks, history and
    validation. The class is not exported. `inner_adapter` is the adapter whose epoch
    hooks are called with those of this one, `num_batches` may be `None`. Keras 3.12 to
    3.15.
    """

    def __init__(self, iterable, batch_size, num_batches, inner_adapter=None):
        self._iterable, self._inner_adapter = iterable, inner_adapter
        self._batch_size, self._num_batches = batch_size, num_batches

    def get_tf_dataset(self):
        return self._iterable

    def get_jax_iterator(self):
        return iter(self._iterable)

    @property
    def num_batches(self):
        return self._num_batches

    @property
    def batch_size(self):
        return self._batch_size

    @property
    def has_partial_batch(self):
        return None

    @property
    def partial_batch_size(self):
        return None

    def on_epoch_begin(self):
        if self._inner_adapter is not None:
            self._inner_adapter.on_epoch_begin()

    def on_epoch_end(self):
        if self._inner_adapter is not None:
            self._inner_adapter.on_epoch_end()


def are_arrays(*structures):
    """Whether `fit` would take all of it as arrays. Keras 3.12 to 3.15."""
    leaves = keras.tree.flatten(structures)
    return all(array_slicing.can_slice_array(leaf) for leaf in leaves)


def packed_arrays(x, y, sample_weight, batch_size, class_weight, steps=None):
    """The data of `fit` as it would cut them into batches.

    Returns `(arrays, rows, batch_size)`: a structure of NumPy arrays with class
    weights turned into sample weights and floats cast to Keras's default, `None`
    in the place of `arrays` if they are sparse or ragged. Raises what `fit` raises.
    The functions that do it have no public names. Keras 3.12 to 3.15.
    """
    adapter = ArrayDataAdapter(
        x,
        y,
        sample_weight=sample_weight,
        batch_size=batch_size,
        steps=steps,
        class_weight=class_weight,
    )
    rows, batch_size = adapter._num_samples, adapter.batch_size
    dense = (
        array_slicing.NumpySliceable,
        array_slicing.TensorflowSliceable,
        array_slicing.TorchSliceable,
        array_slicing.PandasDataFrameSliceable,
        array_slicing.PandasSeriesSliceable,
        type(None),
    )
    sliceables = array_slicing.convert_to_sliceable(adapter._inputs, "numpy")
    leaves = keras.tree.flatten(sliceables)
    if not all(type(leaf) in dense for leaf in leaves):
        return None, rows, batch_size
    arrays = keras.tree.map_structure(
        lambda leaf: (
            None if leaf is None else np.asarray(leaf.convert_to_numpy(leaf[:]))
        ),
        sliceables,
    )
    return keras.tree.lists_to_tuples(arrays), rows, batch_size


# The number of their orders is about 10**18.
_MANY_ROWS = 20


def row_orders_of_fit(rows, batch_size, shuffle):
    """Yields the order of the rows in each epoch of plain `fit`.

    Drawn by Keras's own adapter, over row numbers in the place of the data: its
    draws depend on the number of rows, and for `shuffle="batch"` on the batch size.
    No public function gives the order of an adapter. TensorFlow and JAX; Keras 3.12
    to 3.15.

    On TensorFlow, after `keras.utils.set_random_seed`, each epoch has the same order:
    the dataset begins anew with the seed of its operation. What begins anew is read no
    more, as an iterator takes longer to make than some epochs.
    """
    numbers = np.arange(rows, dtype="int32")
    if shuffle != "batch":  # all rows at once: as one batch they are read quicker
        batch_size = rows
    adapter = ArrayDataAdapter(numbers, batch_size=batch_size, shuffle=shuffle)
    is_jax = backend.backend() == "jax"
    dataset = None if is_jax else adapter.get_tf_dataset()
    order = None
    while True:
        batches = adapter.get_numpy_iterator() if is_jax else dataset
        before, order = (
            order,
            np.concatenate(
                [np.asarray(keras.tree.flatten(batch)[0]) for batch in batches]
            ),
        )
        yield order
        # That two are the same by chance happens in none of 10**18 fits.
        while (
            rows >= _MANY_ROWS and before is not None and np.array_equal(before, order)
        ):
            yield order


def is_dataset(x):
    """Whether `fit` takes it as a `tf.data.Dataset` or as a `PyDataset`.

    The test for the first imports no TensorFlow. Keras 3.12 to 3.15.
    """
    return isinstance(x, keras.utils.PyDataset) or is_tf_dataset(x)


def batch_adapter(x, class_weight=None, shuffle=False):
    """The adapter of `fit` for such data. Keras 3.12 to 3.15."""
    finite = isinstance(x, keras.utils.PyDataset) and x.num_batches is not None
    shuffle = bool(shuffle) and finite
    return get_data_adapter(x, class_weight=class_weight, shuffle=shuffle)


def batch_specification(adapter):
    """`(specification, varies)` of the batches of a `batch_adapter`.

    The first is a structure of `KerasTensor`, `None` if a batch is not dense; the
    second tells whether the number of rows is open. Nothing is taken from a
    `tf.data.Dataset`; a `PyDataset` makes its first batch. Keras 3.12 to 3.15.
    """
    if isinstance(adapter, PyDatasetAdapter):
        batch = first_batch(adapter)
        leaves = keras.tree.flatten(batch)
        if not all(leaf is None or isinstance(leaf, np.ndarray) for leaf in leaves):
            return None, True
        return keras.tree.map_structure(_symbolic, batch), True
    specification = adapter._dataset.element_spec
    leaves = keras.tree.flatten(specification)
    shapes = [getattr(leaf, "shape", None) for leaf in leaves if leaf is not None]
    if not all(
        type(leaf).__name__ == "TensorSpec" and leaf.shape.rank
        for leaf in leaves
        if leaf is not None
    ):
        return None, True
    varies = any(shape[0] is None for shape in shapes)
    return keras.tree.map_structure(_symbolic, specification), varies


def first_batch(adapter):
    """The first batch of a `PyDataset` as `fit` reads it, in NumPy.

    Keras 3.12 to 3.15.
    """
    batch = adapter._standardize_batch(adapter.py_dataset[0])
    return next(data_adapter_utils.get_numpy_iterator([batch]))


def split_validation(x, y, sample_weight, validation_split):
    """`((x, y, sample_weight), validation_data)` as `fit` splits it.

    Keras 3.12 to 3.15.
    """
    return array_slicing.train_validation_split(
        (x, y, sample_weight), validation_split=validation_split
    )


def build_for(model, batch):
    """Builds what `fit` builds at its first step: losses, metrics and optimizer.

    A loop of steps cannot create variables while it is traced. `batch` is a tuple of
    arrays. Keras 3.12 to 3.15.
    """
    model._symbolic_build(data_batch=keras.utils.unpack_x_y_sample_weight(batch))


def check_step(model, batch):
    """Raises if `model` and its loss cannot take `batch`, without computing.

    Shapes go through a function by `compute_output_spec` of the backend, which is not
    exported for functions. A loss that did not fit is made anew, so that the next data
    find it unbuilt. Keras 3.12 to 3.15.
    """
    x, y, sample_weight = unpacked(keras.tree.map_structure(_symbolic, batch))
    with _unbuilt_loss_kept(model):
        y_pred = backend.compute_output_spec(model, x, training=False)
        if y is not None:
            backend.compute_output_spec(model.compute_loss, x, y, y_pred, sample_weight)


def loss_of_batch(model, batch):
    """The loss of one batch of arrays at inference. Keras 3.12 to 3.15."""
    x, y, sample_weight = unpacked(batch)
    with _unbuilt_loss_kept(model):
        y_pred = model(x, training=False)
        loss = model.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=False
        )
        loss = float(keras.ops.convert_to_numpy(loss))
        if not np.isfinite(loss):
            _forget_loss(model)
    return loss


@contextlib.contextmanager
def _unbuilt_loss_kept(model):
    """A loss that was not built and did not fit the data is made anew."""
    compiled = model._compile_loss
    was_built = compiled is None or compiled.built
    try:
        yield
    except Exception:
        if not was_built:
            _forget_loss(model)
        raise


def _forget_loss(model):
    compiled = model._compile_loss
    if compiled is not None:
        model._compile_loss = type(compiled)(
            compiled._user_loss,
            compiled._user_loss_weights,
            output_names=compiled.output_names,
        )


def _symbolic(leaf):
    if leaf is None:
        return None
    shape = tuple(leaf.shape)
    return keras.KerasTensor(shape, keras.backend.standardize_dtype(leaf.dtype))


def has_stock_step(model, name):
    """Whether `train_step` or `test_step` is Keras's own.

    The logs of Keras's own steps are the results of the metrics, so that a loop
    need not carry them. Keras 3.12 to 3.15.
    """
    if name in model.__dict__:
        return False
    stock = inspect.getattr_static(keras.Model, name)
    return inspect.getattr_static(type(model), name) is stock and not (
        inspect.getattr_static(type(model), "compute_metrics")
        is not inspect.getattr_static(keras.Model, "compute_metrics")
    )


@contextlib.contextmanager
def training_settings(model, **settings):
    """Sets attributes such as `jit_compile` and `train_function` for a while.

    What a compiled function was made with is not looked at again: functions are set
    together with the rest. Keras 3.12 to 3.15.
    """
    before = {name: getattr(model, name) for name in settings}
    for name, value in settings.items():
        setattr(model, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(model, name, value)


def auto_jit_compile(model):
    """What `jit_compile="auto"` becomes on this machine. Keras 3.12 to 3.15."""
    return model._resolve_auto_jit_compile()


def runs_eagerly(model: keras.Model) -> bool:
    """Whether Python runs each step of a model. Keras 3.12 to 3.15."""
    if keras.backend.backend() == "jax":
        return model.run_eagerly or not model.jit_compile
    return model.run_eagerly


def is_distributed(model: keras.Model) -> bool:
    """Whether training is spread over devices. Keras 3.12 to 3.15."""
    if keras.backend.backend() == "tensorflow":
        return model._distribute_strategy is not None
    return keras.distribution.distribution() is not None


def unpacked(data):
    """`(x, y, sample_weight)` of what may be packed. Keras 3.12 to 3.15."""
    return data_adapter_utils.unpack_x_y_sample_weight(data)


def global_seed_state():
    """The unseeded generator of `keras.random` and its state, for `set_...`.

    It has no public name and is made at its first use. Keras 3.12 to 3.15.
    """
    generator = global_state.get_global_attribute("global_seed_generator")
    if generator is None:
        return None
    return generator, keras.ops.convert_to_numpy(generator.state)


def set_global_seed_state(state):
    """Undoes what happened since `global_seed_state`. Keras 3.12 to 3.15."""
    global_state.set_global_attribute(
        "global_seed_generator", None if state is None else state[0]
    )
    if state is not None:
        state[0].state.assign(state[1])
