"""What the iterators over arrays, directories and data frames share."""

import collections
import functools
import math
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.augmentation._generator.mixing import mix_batch
from keras_strategies.augmentation._generator.preview import grid, save_pictures
from keras_strategies.augmentation._generator.sampling import draw_block

# Images whose parameters are drawn at once: drawing a batch by itself would cost as
# much as warping it where images are small.
_BLOCK = 4096
_BLOCKS_HELD = 64


@functools.lru_cache(maxsize=1)
def _ahead(process):
    return ThreadPoolExecutor(2, thread_name_prefix="augmentation-ahead")


class BatchIterator(keras.utils.PyDataset):
    """Batches that depend on the seed, the epoch and their number alone.

    In `fit` it is a `keras.utils.PyDataset`; iterated over, it never ends, as Keras's
    iterators. Subclasses have `_shape` (height, width, channels),
    `_images(samples, draws)` that returns images and the places of their samples,
    and `_with_targets(images, samples, draws)`.
    """

    prefetch = 0  # batches that plain iteration makes ahead

    def __init__(self, generator, n, batch_size, shuffle, seed, saving, **kwargs):
        super().__init__(**kwargs)
        self.image_data_generator = generator
        self.n = n
        self.batch_size = checks.integer("batch_size", batch_size, low=1)
        self.shuffle = bool(shuffle)
        self.seed = checks.integer("seed", seed, low=0, optional=True)
        self.save_to_dir, self.save_prefix, self.save_format = saving
        if self.save_to_dir is not None and not os.path.isdir(self.save_to_dir):
            rule = "`save_to_dir` must be an existing directory"
            checks.fail(rule, error=FileNotFoundError, save_to_dir=self.save_to_dir)
        # Without a seed NumPy's global one counts, so `keras.utils.set_random_seed`.
        self._root = np.random.randint(1 << 31) if seed is None else self.seed
        self._blocks = collections.OrderedDict()
        self._order = (None, None)
        self._lock = threading.Lock()
        self._next_epoch = 0
        self._waiting = collections.deque()
        self.epoch = 0
        self.batch_index = 0
        self.total_batches_seen = 0

    def __len__(self):
        return math.ceil(self.n / self.batch_size)

    @property
    def index_array(self):
        """The samples of this epoch in their order."""
        return self._samples(self.epoch)

    def _samples(self, epoch):
        held, order = self._order
        if held == epoch:
            return order
        order = np.arange(self.n)
        if self.shuffle:
            # The seeds and the generator that Keras's iterators use.
            seed = (self._root + epoch * len(self)) % (1 << 32)
            order = np.random.RandomState(seed).permutation(self.n)
        self._order = (epoch, order)
        return order

    def _draws(self, epoch, number):
        """What happens to the images of a batch, from the block it is part of."""
        batches = max(1, _BLOCK // self.batch_size)
        key = (epoch, number // batches)
        with self._lock:
            block = self._blocks.get(key)
            if block is None:
                height, width = self._shape[:2]
                random = np.random.default_rng((self._root, *key))
                # Of the last block only what there is.
                there = min(batches, len(self) - key[1] * batches)
                count = there * self.batch_size
                block = draw_block(
                    self.image_data_generator, random, count, height, width
                )
                self._blocks[key] = block
                if len(self._blocks) > _BLOCKS_HELD:
                    self._blocks.popitem(last=False)
        start = number % batches * self.batch_size
        return block, start

    def _make(self, epoch, number):
        start = number * self.batch_size
        samples = self._samples(epoch)[start : start + self.batch_size]
        block, first = self._draws(epoch, number)
        draws = block.part(slice(first, first + len(samples)))
        # The key ends in its length, so that no block draws the same numbers.
        random = functools.partial(
            np.random.default_rng, (self._root, epoch, number, 3)
        )
        images, kept = self._images(samples, draws)
        if len(kept) < len(samples):
            samples, draws = samples[kept], draws.part(kept)
        if self.save_to_dir is not None:
            save_pictures(
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

    def _channels_last(self, images):
        if self.image_data_generator.data_format == "channels_first":
            return images.transpose(0, 2, 3, 1)
        return images

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise ValueError(
                f"Asked to retrieve element {index}, but the Sequence has length "
                f"{len(self)}"
            )
        self.total_batches_seen += 1
        return self._make(self.epoch, index)

    def on_epoch_end(self):
        self.epoch += 1

    def reset(self):
        """Starts plain iteration at the first batch of its epoch again."""
        with self._lock:
            self._forget_ahead()
            self.batch_index = 0

    def _forget_ahead(self):
        for _, _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    def __iter__(self):
        return self

    def __next__(self):
        if not self.n:
            raise StopIteration
        with self._lock:
            epoch, number = self._next_epoch, self.batch_index
            self.batch_index += 1
            if self.batch_index == len(self):
                self.batch_index, self._next_epoch = 0, epoch + 1
            self.total_batches_seen += 1
        if not self.prefetch:
            return self._make(epoch, number)
        return self._made_ahead(epoch, number)

    def _made_ahead(self, epoch, number):
        """The batch, while the next ones are being made."""
        pool = _ahead(os.getpid())
        with self._lock:
            if not self._waiting or self._waiting[0][:2] != (epoch, number):
                self._forget_ahead()
            place = self._waiting[-1][:2] if self._waiting else None
            while len(self._waiting) <= self.prefetch:
                place = (epoch, number) if place is None else self._following(*place)
                future = pool.submit(self._make, *place)
                self._waiting.append((*place, future))
            future = self._waiting.popleft()[2]
        return future.result()

    def _following(self, epoch, number):
        return (epoch, number + 1) if number + 1 < len(self) else (epoch + 1, 0)

    def as_dataset(self, prefetch=2):
        """The batches as a `tf.data.Dataset`; every pass over it is the next epoch.

        Args:
            prefetch: How many batches are made ahead.
        """
        import tensorflow as tf

        def as_tuples(value):
            if isinstance(value, dict):
                return {key: as_tuples(part) for key, part in value.items()}
            if isinstance(value, list | tuple):
                return tuple(as_tuples(part) for part in value)
            return value

        def spec(array):
            return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

        epochs = iter(range(1 << 62))

        def batches():
            epoch = next(epochs)
            for number in range(len(self)):
                yield as_tuples(self._make(epoch, number))

        signature = keras.tree.map_structure(spec, as_tuples(self._make(0, 0)))
        dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
        counted = dataset.apply(tf.data.experimental.assert_cardinality(len(self)))
        return counted.prefetch(prefetch)

    def preview(self, n=9, columns=None):
        """The first augmented images as one picture.

        Args:
            n: How many images, at most a batch.
            columns: How many in a row; by default about a square.

        Returns:
            Array `(height, width, 3)` of uint8 for `matplotlib.pyplot.imshow` or
            `keras.utils.array_to_img`. Values outside of 0 to 255 are stretched.
        """
        checks.integer("n", n, low=1)
        batch = self._make(self.epoch, 0)
        images = batch[0] if isinstance(batch, tuple) else batch
        images = images[0] if isinstance(images, list) else images
        return grid(self._channels_last(images)[:n], columns)
