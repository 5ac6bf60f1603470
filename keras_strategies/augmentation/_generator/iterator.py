"""Base of the iterators over arrays, directories and data frames."""

import collections
import functools
import math
import os
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import keras
import numpy as np

from keras_strategies._internal import bases, checks
from keras_strategies._internal.keras_private import running_epochs
from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._generator.mixing import mix_batch
from keras_strategies.augmentation._generator.preview import grid, save_images
from keras_strategies.augmentation._generator.sampling import Draws, draw_block

if TYPE_CHECKING:
    import tensorflow as tf


# Images whose parameters are drawn together: for small images, drawing them per batch
# would cost as much as the warp.
_BLOCK = 4096
_MAX_BLOCKS = 64


@functools.lru_cache(maxsize=1)
def _prefetch_pool(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="augmentation-ahead")


class BatchIterator(bases.PyDataset):
    """Batches that depend only on the seed, the epoch and their index.

    In `fit` it is a `keras.utils.PyDataset`; plain iteration is endless, as for Keras's
    iterators. Subclasses define `_shape` (height, width, channels), `_images(samples,
    draws)`, which returns images and the indices of their samples, and
    `_with_targets(images, samples, draws)`.
    """

    prefetch = 0  # number of batches that plain iteration computes in advance
    empty_reason = "There is no sample."  # why an iterator has no batch

    def __init__(
        self,
        generator: Any,
        n: int,
        batch_size: int,
        shuffle: bool,
        seed: int,
        saving: tuple[Any, str, str],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.image_data_generator: Any = generator
        self.n: int = n
        self.batch_size: int = checks.integer("batch_size", batch_size, low=1)
        self.shuffle: bool = bool(shuffle)
        self.seed: int | None = checks.integer("seed", seed, low=0, optional=True)
        self.save_to_dir, self.save_prefix, self.save_format = saving
        if self.save_to_dir is not None and not os.path.isdir(self.save_to_dir):
            rule = "`save_to_dir` must be an existing directory"
            checks.fail(rule, error=FileNotFoundError, save_to_dir=self.save_to_dir)
        # NumPy's global seed, which `keras.utils.set_random_seed` sets.
        self._root = np.random.randint(1 << 31) if seed is None else self.seed
        self._blocks = collections.OrderedDict()
        self._order = (None, None)
        self._lock = threading.Lock()
        self._next_epoch = 0
        self._futures = collections.deque()
        self._epochs: weakref.ref[Any] | None = None
        self._steps: int | None = None  # of the running fit
        self._steps_served = 0
        self.epoch: int = 0
        self.batch_index: int = 0
        self.total_batches_seen: int = 0

    def __len__(self) -> int:
        return math.ceil(self.n / self.batch_size)

    @property
    def num_batches(self) -> int | None:
        """Batches of an epoch; `None`, without end, for a `fit` with `steps_per_epoch`.

        As in Keras 2, where iterators had no end: steps that are fewer than the
        batches, such as `len(x) // batch_size`, go on from epoch to epoch.
        """
        epochs = running_epochs()
        if epochs is not None:
            self._check_samples()
            self._begin(epochs)
        is_endless = self._steps and self._epochs() is not None
        return None if is_endless else len(self)

    def _check_samples(self) -> None:
        if not self.n:
            raise ValueError(self.empty_reason)

    def _begin(self, epochs: Any) -> None:
        """Notes the steps per epoch of a `fit` when it first asks for data."""
        if self._epochs is not None and self._epochs() is epochs:
            return
        self._end()
        self._epochs = weakref.ref(epochs)
        self._steps = epochs.steps_per_epoch

    def _end(self) -> None:
        """Counts the epochs that steps without end have begun."""
        self.epoch += -(-self._steps_served // max(len(self), 1))
        self._steps_served = 0

    @property
    def index_array(self) -> np.ndarray:
        """The indices of the samples of this epoch, in order."""
        return self._samples(self.epoch)

    def _samples(self, epoch: int) -> np.ndarray:
        cached_epoch, order = self._order
        if cached_epoch == epoch:
            return order
        order = np.arange(self.n)
        if self.shuffle:
            # The seeds and the generator that Keras's iterators use.
            seed = (self._root + epoch * len(self)) % (1 << 32)
            order = np.random.RandomState(seed).permutation(self.n)
        self._order = (epoch, order)
        return order

    def _draws(self, epoch: int, number: int) -> tuple[Draws, int]:
        """Returns the block of draws that a batch belongs to, and its start there."""
        batches = max(1, _BLOCK // self.batch_size)
        key = (epoch, number // batches)
        with self._lock:
            block = self._blocks.get(key)
            if block is None:
                height, width = self._shape[:2]
                random = np.random.default_rng((self._root, *key))
                # The last block may have fewer batches.
                block_batches = min(batches, len(self) - key[1] * batches)
                count = block_batches * self.batch_size
                block = draw_block(
                    self.image_data_generator, random, count, height, width
                )
                self._blocks[key] = block
                if len(self._blocks) > _MAX_BLOCKS:
                    self._blocks.popitem(last=False)
        start = number % batches * self.batch_size
        return block, start

    def _compute(self, epoch: int, number: int) -> Any:
        """Returns a batch."""
        start = number * self.batch_size
        samples = self._samples(epoch)[start : start + self.batch_size]
        block, offset = self._draws(epoch, number)
        draws = block.select(slice(offset, offset + len(samples)))
        # The 3 at the end distinguishes it from the seeds of blocks, of three numbers.
        random = functools.partial(
            np.random.default_rng, (self._root, epoch, number, 3)
        )
        images, decoded = self._images(samples, draws)
        if len(decoded) < len(samples):
            samples, draws = samples[decoded], draws.select(decoded)
        if self.save_to_dir is not None:
            save_images(
                self._channels_last(images),
                samples,
                self.save_to_dir,
                self.save_prefix,
                self.save_format,
                random(),
            )
        batch = self._with_targets(images, samples, draws)
        generator = self.image_data_generator
        if generator.mixup or generator.cutmix:
            return mix_batch(generator, batch, random())
        return batch

    def _channels_last(self, images: Tensor) -> np.ndarray:
        if self.image_data_generator.data_format == "channels_first":
            return images.transpose(0, 2, 3, 1)
        return images

    def __getitem__(self, index: int) -> Any:
        if index < 0 or (index >= len(self) and not self._steps):
            raise ValueError(
                f"Asked to retrieve element {index}, but the Sequence has length "
                f"{len(self)}"
            )
        self.total_batches_seen += 1
        epochs, number = divmod(index, len(self))
        return self._compute(self.epoch + epochs, number)

    def on_epoch_end(self) -> None:
        if self._steps:
            self._steps_served += self._steps
        else:
            self.epoch += 1

    def reset(self) -> None:
        """Restarts plain iteration at the first batch of its epoch."""
        with self._lock:
            self._cancel_futures()
            self.batch_index = 0

    def _cancel_futures(self) -> None:
        for _, _, future in self._futures:
            future.cancel()
        self._futures.clear()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        if not self.n:
            raise StopIteration
        with self._lock:
            epoch, number = self._next_epoch, self.batch_index
            self.batch_index += 1
            if self.batch_index == len(self):
                self.batch_index, self._next_epoch = 0, epoch + 1
            self.total_batches_seen += 1
        if not self.prefetch:
            return self._compute(epoch, number)
        return self._prefetched(epoch, number)

    def next(self) -> Any:
        """The next batch, as `next(iterator)`: scripts for Keras 2 call it so."""
        return next(self)

    def _prefetched(self, epoch: int, number: int) -> Any:
        """Returns a batch, while the next ones are computed in threads."""
        pool = _prefetch_pool(os.getpid())
        with self._lock:
            if not self._futures or self._futures[0][:2] != (epoch, number):
                self._cancel_futures()
            key = self._futures[-1][:2] if self._futures else None
            while len(self._futures) <= self.prefetch:
                key = (epoch, number) if key is None else self._next_key(*key)
                future = pool.submit(self._compute, *key)
                self._futures.append((*key, future))
            future = self._futures.popleft()[2]
        return future.result()

    def _next_key(self, epoch: int, number: int) -> tuple[int, int]:
        return (epoch, number + 1) if number + 1 < len(self) else (epoch + 1, 0)

    def as_dataset(self, prefetch: int = 2) -> "tf.data.Dataset":
        """Returns a `tf.data.Dataset` of the batches; each iteration is the next epoch.

        Args:
            prefetch: Number of batches that are computed in advance. Defaults to `2`.
        """
        import tensorflow as tf

        self._check_samples()

        def as_tuples(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: as_tuples(item) for key, item in value.items()}
            if isinstance(value, list | tuple):
                return tuple(as_tuples(item) for item in value)
            return value

        def spec(array: Any) -> Any:
            return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

        epochs = iter(range(1 << 62))

        def batches() -> Iterator[Any]:
            epoch = next(epochs)
            for number in range(len(self)):
                yield as_tuples(self._compute(epoch, number))

        signature = keras.tree.map_structure(spec, as_tuples(self._compute(0, 0)))
        dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
        counted = dataset.apply(tf.data.experimental.assert_cardinality(len(self)))
        return counted.prefetch(prefetch)

    def preview(self, n: int = 9, columns: int | None = None) -> np.ndarray:
        """Returns the first augmented images as one image grid.

        Args:
            n: Number of images, at most a batch. Defaults to `9`.
            columns: Images per row. Defaults to `None`, about a square.

        Returns:
            Array `(height, width, 3)` of uint8 for `matplotlib.pyplot.imshow` or
            `keras.utils.array_to_img`. Values outside of 0 to 255 are scaled to
            that range.
        """
        checks.integer("n", n, low=1)
        self._check_samples()
        batch = self._compute(self.epoch, 0)
        images = batch[0] if isinstance(batch, tuple) else batch
        images = images[0] if isinstance(images, list) else images
        return grid(self._channels_last(images)[:n], columns)
