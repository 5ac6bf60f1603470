"""What draws random numbers while a model is constructed, and what from."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
from keras.src.initializers.random_initializers import RandomInitializer
from keras.src.trainers.epoch_iterator import EpochIterator

#: Bounds of the seeds that Keras draws by `random.randint` where none is given:
#: `keras.src.random.seed_generator.make_default_seed`. Keras 3.12 to 3.15.
SEED_BOUNDS = (1, int(1e9))


@contextlib.contextmanager
def recording_draws(
    drawn: list[Any], made: list[tuple[keras.Variable, Any]]
) -> Iterator[None]:
    """Notes what draws a seed inside the block, and what makes each variable.

    A variable does not keep its initializer, and an initializer does not tell whether
    its seed was given or drawn: no public name leads from a weight to its draw. Keras
    3.12 to 3.15.

    Args:
        drawn: Takes the initializers and `SeedGenerator`s that draw a seed from
            Python's generator, in this order.
        made: Takes `(variable, initializer)` of each variable that is made by one.
    """
    make_initializer = RandomInitializer.__init__
    make_generator = keras.random.SeedGenerator.__init__
    make_value = keras.Variable._initialize_with_initializer

    def initializer(this: Any, seed: Any = None) -> None:
        make_initializer(this, seed)
        if seed is None:
            drawn.append(this)

    def generator(this: Any, seed: Any = None, **kwargs: Any) -> None:
        if seed is None:
            drawn.append(this)
        make_generator(this, seed, **kwargs)

    def value(this: keras.Variable, function: Any) -> None:
        make_value(this, function)
        made.append((this, function))

    with contextlib.ExitStack() as stack:
        for owner, name, function in (
            (RandomInitializer, "__init__", initializer),
            (keras.random.SeedGenerator, "__init__", generator),
            (keras.Variable, "_initialize_with_initializer", value),
        ):
            inherited = name not in vars(owner)
            before = getattr(owner, name)
            setattr(owner, name, function)
            stack.callback(_put_back, owner, name, before, inherited)
        yield


def _put_back(owner, name, before, inherited):
    if inherited:
        delattr(owner, name)
    else:
        setattr(owner, name, before)


def draw_as_first_fit(
    x: Any, y: Any, sample_weight: Any, batch_size: int | None, shuffle: bool
) -> None:
    """Draws what the first `fit` of a model draws beyond its epochs.

    On JAX and Torch that `fit` takes a batch to build metrics and loss, so that rows
    are shuffled once more than in later fits. Keras 3.12 to 3.15.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return
    kind = EpochIterator
    if backend == "torch":
        from keras.src.backend.torch.trainer import TorchEpochIterator as kind
    iterator = kind(
        x, y, sample_weight=sample_weight, batch_size=batch_size, shuffle=shuffle
    )
    for _, _, batches in iterator:
        if not isinstance(batches, list | tuple):
            next(batches)
        break
