"""The callable that predicts."""

import math
import threading
import time
import warnings
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    compiled_parts,
    flatten_layers,
    graph_nodes,
    sync_state,
)
from keras_strategies._internal.traversal import all_variables
from keras_strategies.training._predict import batching, programs

# Programs kept at once. A free time axis makes one for each length.
MAX_PROGRAMS = 32
# Layers up to which XLA and graph mode are both built and timed. XLA saves the cost of
# dispatching, which a large network does not feel, and compiles it for long.
TIMED_LAYERS = 60
TIMED_CALLS = 5
# Rounding differs between compilers and numbers of rows; a wrong program is far off.
TOLERANCE, HALF_TOLERANCE = 1e-4, 2.0**-6


class Predictor:
    """A model as a quick function of NumPy arrays. See `training.predictor`.

    Args:
        model: Model. One that is not built yet is built by the first call.
        batch_size: Rows of the largest batch. Defaults to `None`: by the inputs' size.

    Attributes:
        model: The model that predicts.
        batch_size: Rows of the largest batch. `None` until the first call where it
            was not given.
        programs: How each shape runs, from `(rows, *row shape)` of each input to
            `"xla"`, `"graph"`, `"trace"` or `"eager"`.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    predict = training.Predictor(model, batch_size=64)
    predict(np.zeros((3, 8), "float32"))
    print(predict.programs)  # {((4, 8),): "xla"} on TensorFlow and JAX
    ```
    """

    def __init__(self, model: keras.Model, batch_size: int | None = None) -> None:
        checks.instance("model", model, keras.Model)
        if batch_size is not None:
            batch_size = checks.integer("batch_size", batch_size, low=1)
        self.model = model
        self.batch_size = batch_size
        self._lock = threading.RLock()
        self._programs: dict[Any, tuple[str, programs.Program]] = {}
        # Those of single arrays that need no preparation, by what these are.
        self._quick: dict[Any, programs.Program] = {}
        self._outputs: Any = None
        self._stateful = False
        self._pads = True
        # Shapes for which padded rows were seen to change nothing, and which outputs
        # have these rows.
        self._independent: dict[Any, list[bool]] = {}
        self._made_of: tuple[Any, ...] = ()

    @property
    def programs(self) -> dict[tuple[tuple[int, ...], ...], str]:
        """The kind of each program, by the shapes of its inputs."""
        return {
            tuple(shape for shape, _ in key): kind
            for key, (kind, _) in self._programs.items()
        }

    def __call__(self, x: Any) -> Any:
        """Returns the model's outputs for `x`, as `model.predict(x)`.

        Args:
            x: Array, or list, tuple or dict of arrays, as the model takes them. Any
                number of rows. Floats are cast to `keras.config.floatx()`.

        Returns:
            NumPy array, or the structure of the model's outputs filled with them.

        Raises:
            ValueError: If inputs have different numbers of rows or shapes that the
                model does not take.
        """
        if type(x) is np.ndarray:
            quick = self._quick.get((x.shape, x.dtype, keras.config.floatx()))
            if quick is not None and self._current() == self._made_of:
                return programs.to_numpy(quick((x,))[0])
        single = isinstance(x, np.ndarray)
        flat = [x] if single else keras.tree.flatten(x)
        arrays = [batching.as_array(value) for value in flat]
        rows = _number_of_rows(arrays)
        if self._current() != self._made_of:
            self._reset()
        if self.batch_size is None:
            self.batch_size = batching.default_batch_size(self._row_bytes(arrays))
        if rows == 0:
            return self._without_rows(x, arrays)
        if rows <= self.batch_size:
            outputs = self._predict_chunk(x, arrays)
        else:
            pieces = [
                self._predict_chunk(x, [array[chunk] for array in arrays])
                for chunk in batching.chunks(rows, self.batch_size)
            ]
            outputs = [_joined(parts) for parts in zip(*pieces, strict=True)]
        if self._outputs is None:  # the structure of one array
            if single:
                self._keep_quick(x, arrays)
            return outputs[0]
        return keras.tree.pack_sequence_as(self._outputs, outputs)

    def _keep_quick(self, x, arrays):
        """Notes that the next array like `x` needs no more than its program.

        All else of a call takes about as long as the program of a small model.
        """
        program = self._programs.get(_key(arrays))
        if program is not None and arrays[0] is x and not self._stateful:
            self._quick[x.shape, x.dtype, keras.config.floatx()] = program[1]

    def _predict_chunk(self, structure, arrays):
        rows = len(arrays[0])
        if self._stateful:
            # Two calls at once would start from the same state.
            with self._lock:
                return self._run(structure, arrays, rows)
        padded = arrays
        if self._pads:
            bucket = batching.bucket_size(rows, self.batch_size)
            padded = [batching.pad_rows(array, bucket) for array in arrays]
        return self._run(structure, padded, rows)

    def _run(self, structure, arrays, rows):
        key = _key(arrays)
        entry = self._programs.get(key)
        if entry is None:
            with self._lock:
                entry = self._programs.get(key)
                if entry is None:
                    return self._first_run(structure, arrays, rows)
        outputs = _to_numpy(entry[1](arrays))
        if rows == len(arrays[0]):
            return outputs
        have_rows = self._independent.get(key)
        if have_rows is None:
            return self._checked(structure, arrays, rows, outputs)
        return [
            output[:rows] if has_rows else output
            for output, has_rows in zip(outputs, have_rows, strict=True)
        ]

    def _checked(self, structure, arrays, rows, outputs):
        """Compares a padded batch with the model on the rows that were asked for."""
        exact = [array[:rows] for array in arrays]
        with self._lock:
            plain, _ = programs.plain_call(self.model, _nested(structure, exact))
        reference = _to_numpy(keras.tree.flatten(plain))
        if not _agree(outputs, reference, self._tolerance()):
            self._pad_no_more()
            return reference
        self._note_independence(arrays, exact, outputs, reference)
        return list(map(_fitted, outputs, reference))

    def _note_independence(self, padded, exact, outputs, reference):
        """Notes that rows were added to `exact` and changed nothing, if that is so."""
        # Equal rows prove nothing: their mean is that of the padded batch.
        if any((array != array[:1]).any() for array in exact):
            self._independent[_key(padded)] = [
                output.shape != expected.shape
                for output, expected in zip(outputs, reference, strict=True)
            ]

    def _pad_no_more(self):
        with self._lock:
            self._pads = False
            self._programs.clear()
            self._quick.clear()
        warnings.warn(
            f"Predictions of {self.model.name!r} depend on the other rows of the "
            "batch: no row is added to it, and each number of rows is compiled.",
            stacklevel=6,
        )

    def _first_run(self, structure, arrays, rows):
        """Builds the program of a shape and checks it against the model itself."""
        exact = [array[:rows] for array in arrays]
        variables = all_variables(self.model)  # some, of a model that is not built
        before = _values(self.model, variables)
        outputs, moved = programs.plain_call(self.model, _nested(structure, exact))
        reference = _to_numpy(keras.tree.flatten(outputs))
        self._outputs = keras.tree.map_structure(lambda leaf: None, outputs)
        self._made_of = self._current()
        if (
            moved
            or self._has_new_states(variables)
            or not all(map(np.array_equal, before, _values(self.model, variables)))
        ):
            return self._first_of_state(structure, exact, reference)
        try:
            is_compiled = self._compile_quickest(structure, arrays, reference)
        except programs.ChangesStateError:
            return self._first_of_state(structure, exact, reference)
        if not is_compiled:
            if rows == len(arrays[0]):
                raise RuntimeError(
                    f"Compiled predictions of {self.model.name!r} differ from those of "
                    "the model. Use model.predict."
                )
            self._pad_no_more()
            return self._first_run(structure, exact, rows)
        return reference

    def _first_of_state(self, structure, exact, reference):
        """Notes a model whose call changed the state, so was the one call to make."""
        with self._lock:
            self._stateful, self._pads = True, False
            self._quick.clear()
        kind = programs.kinds(True, self.model.run_eagerly)[0]
        program = programs.make_program(self.model, structure, exact, kind, True)
        self._keep(kind, program, exact)
        return reference

    def _has_new_states(self, variables):
        """Whether the first call made a state, which it moved as well."""
        no_states = {id(v) for v in [*variables, *self.model.variables]}
        return any(id(v) not in no_states for v in all_variables(self.model))

    def _compile_quickest(self, structure, arrays, reference):
        """Keeps the quickest program that agrees with `reference`, if there is one."""
        kinds = programs.kinds(False, self.model.run_eagerly)
        if any(array.dtype.kind not in "fiub" for array in arrays):
            # XLA has no strings and ends the process over them.
            kinds = tuple(kind for kind in kinds if kind != "xla")
        small = len(flatten_layers(self.model)) <= TIMED_LAYERS
        if kinds[0] == "xla" and len(kinds) > 1 and not small:
            kinds = kinds[1:]
        seconds = {}
        for kind in kinds:
            try:
                program = programs.make_program(self.model, structure, arrays, kind)
                outputs = _to_numpy(program(arrays))
            except programs.not_compiled():
                if kind == kinds[-1]:
                    raise
                continue
            if _agree(outputs, reference, self._tolerance()):
                seconds[kind] = program, _seconds(program, arrays)
        if not seconds:
            return False
        kind = min(seconds, key=lambda kind: seconds[kind][1])
        self._keep(kind, seconds[kind][0], arrays)
        return True

    def _keep(self, kind, program, arrays):
        while len(self._programs) >= MAX_PROGRAMS:
            self._programs.pop(next(iter(self._programs)))
            self._quick.clear()
        self._programs[_key(arrays)] = kind, program

    def _tolerance(self):
        policy = self.model.dtype_policy
        half = getattr(policy, "compute_dtype", "") in ("float16", "bfloat16")
        return HALF_TOLERANCE if half else TOLERANCE

    def _row_bytes(self, arrays):
        """Returns the bytes of a row where it is largest: in the inputs or a layer."""
        sizes = [sum(a.itemsize * math.prod(a.shape[1:]) for a in arrays)]
        for _, _, _, outputs in graph_nodes(self.model) or ():
            for tensor in outputs:
                sizes.append(4 * math.prod(size or 1 for size in tensor.shape[1:]))
        return max(sizes)

    def _current(self):
        """What programs are made of: `quantize` and `enable_lora` replace variables.

        `compile` is how Keras is told that code, such as an activation, has changed.
        """
        variables = tuple(map(id, self.model.variables))
        return variables, *compiled_parts(self.model)

    def _reset(self):
        with self._lock:
            self._programs.clear()
            self._quick.clear()
            self._independent.clear()
            self._stateful, self._pads = False, True

    def _without_rows(self, structure, arrays):
        if self._stateful:
            checks.fail(
                "A model with state cannot predict for 0 rows: its answer would change "
                "the state",
                shapes=[array.shape for array in arrays],
            )
        one = [_row_of(array) for array in arrays]
        outputs = keras.tree.flatten(self(_nested(structure, one)))
        return _nested(self._outputs, [output[:0] for output in outputs])


def _row_of(array):
    """A row for a model that is asked for none."""
    fill = "" if array.dtype.kind in "OSU" else 0
    return np.full((1, *array.shape[1:]), fill, array.dtype)


def _joined(parts):
    """Outputs of several batches as one, as `predict` joins them."""
    if not all(part.ndim for part in parts):
        checks.fail(
            "an output without rows cannot be joined from several batches",
            batches=len(parts),
            fix="Give `batch_size` of the predictor room for all rows.",
        )
    return np.concatenate(parts)


def _nested(structure, flat):
    return keras.tree.pack_sequence_as(structure, flat)


def _key(arrays):
    return tuple((array.shape, array.dtype) for array in arrays)


def _number_of_rows(arrays):
    shapes = [array.shape for array in arrays]
    if not shapes or not all(shapes) or len({shape[0] for shape in shapes}) > 1:
        raise ValueError(
            checks.message(
                "Inputs must have one first axis, of the same length for all",
                {"shapes": shapes},
            )
        )
    return shapes[0][0]


def _to_numpy(tensors):
    return [programs.to_numpy(tensor) for tensor in tensors]


def _values(model, variables):
    sync_state(model)
    # Copies: Torch's arrays are its tensors' memory.
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


def _fitted(output, expected):
    """An output without the rows that were added, if it has them."""
    is_longer = output.ndim and expected.ndim and len(output) > len(expected)
    return output[: len(expected)] if is_longer else output


def _agree(outputs, reference, tolerance):
    """Whether each output is the reference's, up to rounding, on the rows it has."""
    for output, expected in zip(outputs, reference, strict=True):
        output = _fitted(output, expected)
        if output.shape != expected.shape:
            return False
        if output.dtype.kind not in "fV":
            if not np.array_equal(output, expected):
                return False
            continue
        output, expected = output.astype("float64"), expected.astype("float64")
        scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=0.0)
        absolute = tolerance * scale
        if not np.allclose(output, expected, tolerance, absolute, equal_nan=True):
            return False
    return True


def _seconds(program, arrays):
    """Returns the shortest time of a call, NumPy to NumPy."""
    times = []
    for _ in range(TIMED_CALLS):
        begin = time.perf_counter()
        _to_numpy(program(arrays))
        times.append(time.perf_counter() - begin)
    return min(times)
