"""Batches as a pure function of seed, epoch and step."""

import concurrent.futures
import math
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_strategies._internal import bases, checks
from keras_strategies._internal.keras_private.resuming import (
    begins_training_epoch,
    keep_batch_order,
)
from keras_strategies.training._indexed import constructors, order
from keras_strategies.training._indexed.sources import RecordSource, as_source, stack


class IndexedDataset(constructors.FromFiles, bases.PyDataset):
    """Data for `fit` whose every batch is a function of seed, epoch and step.

    Which records are in batch `step` of epoch `epoch`, and which random numbers their
    augmentation gets, depends on `(seed, epoch, step)` and on nothing that happened
    before. So a training that died goes on in the middle of an epoch without reading
    again what it had read (see `ResumableTraining`), two processes that share the work
    see together what one alone would see, and any batch can be looked at later.

    `fit` shuffles the batches of a data set of Keras by Python's random numbers, unless
    told otherwise: not those of this one, whose order is its own under any `shuffle` of
    `fit`. Only what a batch needs is read, when it is needed.

    The records of an epoch are in the order of a permutation by Philox (Salmon et al.,
    2011) with the key `(seed, epoch)`, cut into batches. The first `fit` begins at
    epoch 0; later ones go on counting.

    Args:
        source: A tuple or dict of arrays with as many rows, such as `(x, y)` or `(x, y,
            sample_weight)`, or any object with `len(source)` and `source[i]`, a record:
            a data set of Torch, Grain or your own. Memory maps stay on the disk. For
            files see `from_directory`, `from_tfrecord`, `from_array_record`, `from_npz`
            and `from_dataset`.
        batch_size: Records a batch, of all shards together. Defaults to `32`.
        seed: Seed of order and augmentation, at least 0. Defaults to `0`.
        shuffle: Whether the records of each epoch get an order of their own. Defaults
            to `True`.
        transform: `transform(record, rng)`, which returns the record for the batch:
            decoding, augmentation. `rng` is a `numpy.random.Generator` for this record
            of this epoch. Defaults to none.
        drop_remainder: Whether the records that do not fill a batch are left out of an
            epoch. Defaults to `False`.
        num_shards: How many processes share each batch; `batch_size` must be a multiple
            of it. Defaults to `1`.
        shard_index: Which of them this is, from 0. Defaults to `0`.
        threads: Threads that read that many batches ahead. Worth it where reading waits
            for a disk, or decodes. Defaults to `0`.

    Raises:
        ValueError: If the shards cannot share the batches evenly, or there is no
            record.

    Example:

    ```python
    import numpy as np
    from keras_strategies import training

    x, y = np.arange(10.0), np.arange(10)
    data = training.IndexedDataset((x, y), batch_size=4, seed=1)
    print(len(data))  # 3
    data.epoch = 7
    same = training.IndexedDataset((x, y), batch_size=4, seed=1)
    same.epoch = 7
    print((data[2][0] == same[2][0]).all())  # True
    ```
    """

    def __init__(
        self,
        source: Any,
        batch_size: int = 32,
        seed: int = 0,
        shuffle: bool = True,
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
        drop_remainder: bool = False,
        num_shards: int = 1,
        shard_index: int = 0,
        threads: int = 0,
    ):
        super().__init__()
        self._source: RecordSource = as_source(source)
        self.batch_size: int = checks.integer("batch_size", batch_size, low=1)
        self.seed: int = checks.integer("seed", seed, low=0, high=2**63)
        self.shuffle: bool = checks.boolean("shuffle", shuffle)
        if transform is not None and not callable(transform):
            checks.fail(
                "`transform` must be a function of a record and a generator",
                error=TypeError,
                transform=transform,
            )
        self.transform: Callable[[Any, np.random.Generator], Any] | None = transform
        self.drop_remainder: bool = checks.boolean("drop_remainder", drop_remainder)
        self.num_shards: int = checks.integer("num_shards", num_shards, low=1)
        self.shard_index: int = checks.integer(
            "shard_index", shard_index, low=0, high=num_shards - 1
        )
        self.threads: int = checks.integer("threads", threads, low=0)
        self._check_sizes()
        self._epoch = self._next_epoch = 0
        self._offset = self._next_offset = 0
        self._lock = threading.Lock()
        self._order: tuple[int, np.ndarray] | None = None
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None
        self._ahead: dict[tuple[int, int], concurrent.futures.Future[Any]] = {}

    def _check_sizes(self):
        size = len(self._source)
        if self.batch_size % self.num_shards:
            checks.fail(
                "`batch_size` must be a multiple of `num_shards`",
                batch_size=self.batch_size,
                num_shards=self.num_shards,
            )
        if size == 0 or (self.drop_remainder and size < self.batch_size):
            checks.fail(
                "`source` must have the records of a batch at least", records=size
            )
        rest = 0 if self.drop_remainder else size % self.batch_size
        if rest and rest < self.num_shards:
            checks.fail(
                "The last batch of an epoch must have a record for each shard",
                fix="Give drop_remainder=True, or another `batch_size`.",
                records_of_last_batch=rest,
                num_shards=self.num_shards,
            )

    @property
    def epoch(self) -> int:
        """The epoch whose batches `dataset[step]` returns; `fit` counts it up.

        Setting it chooses the epoch for a loop of your own, and for the next `fit`.
        """
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = self._next_epoch = checks.integer("epoch", epoch, low=0)
        self._offset = self._next_offset = 0

    @property
    def steps_per_epoch(self) -> int:
        """Batches of a whole epoch."""
        size = len(self._source)
        if self.drop_remainder:
            return size // self.batch_size
        return math.ceil(size / self.batch_size)

    def __len__(self) -> int:
        return self.steps_per_epoch - self._offset

    @property
    def workers(self) -> int:
        """1: Keras starts no threads of its own, which would not keep to an epoch."""
        keep_batch_order(self)
        return 1

    @workers.setter
    def workers(self, value: int) -> None:
        if value != 1:
            checks.fail("`workers` is 1", fix="Use `threads`.", workers=value)

    def __getitem__(self, index: int) -> Any:
        steps = self.steps_per_epoch
        step = checks.integer("index", index) + self._offset
        if not 0 <= step < steps:
            raise IndexError(f"There are {steps} batches. Received: index={index}.")
        if not self.threads:
            return self._read(self._epoch, step)
        return self._read_ahead(self._epoch, step, steps)

    def records(self, step: int, epoch: int | None = None) -> np.ndarray:
        """Returns the numbers of the records in a batch of this shard.

        Args:
            step: Number of the batch, from 0.
            epoch: The epoch. Defaults to the current one.
        """
        epoch = self._epoch if epoch is None else epoch
        size = len(self._source)
        rows = order.rows_of_batch(
            step, self.batch_size, size, self.shard_index, self.num_shards
        )
        return self._order_of(epoch, size)[rows] if self.shuffle else rows

    def _order_of(self, epoch, size):
        with self._lock:
            if self._order is None or self._order[0] != epoch:
                self._order = epoch, order.permutation(self.seed, epoch, size)
            return self._order[1]

    def _read(self, epoch, step):
        records = self.records(step, epoch)
        if self.transform is None:
            return self._source.batch(records)
        generators = order.record_generators(self.seed, epoch, records)
        return stack(
            [
                self.transform(record, generator)
                for record, generator in zip(
                    self._source.records(records), generators, strict=True
                )
            ]
        )

    def _read_ahead(self, epoch, step, steps):
        with self._lock:
            if self._pool is None:
                self._pool = concurrent.futures.ThreadPoolExecutor(self.threads)
            wanted = [(epoch, s) for s in range(step, min(step + self.threads, steps))]
            # What is ahead of another position is no longer needed.
            for key in [key for key in self._ahead if key not in wanted]:
                self._ahead.pop(key).cancel()
            for key in wanted:
                if key not in self._ahead:
                    self._ahead[key] = self._pool.submit(self._read, *key)
            batch = self._ahead.pop((epoch, step))
        return batch.result()

    def on_epoch_begin(self) -> None:
        """Goes on to the next epoch, when `fit` begins one."""
        if begins_training_epoch(self):
            self._epoch, self._offset = self._next_epoch, self._next_offset
            self._next_epoch, self._next_offset = self._epoch + 1, 0

    def on_epoch_end(self) -> None:
        """Ends what `begin_at` shortened."""
        self._offset = 0

    def begin_at(self, epoch: int, step: int = 0) -> None:
        """Has the next epoch of `fit` be the rest of `epoch` from batch `step` on.

        `ResumableTraining` calls it. `dataset[0]` is then batch `step`, for that epoch.

        Args:
            epoch: The epoch, from 0.
            step: The first batch that is read. Defaults to `0`.
        """
        self._next_epoch = checks.integer("epoch", epoch, low=0)
        self._next_offset = checks.integer(
            "step", step, low=0, high=self.steps_per_epoch
        )

    def signature(self) -> dict[str, Any]:
        """Returns what must be the same for a training to go on as it was."""
        return {
            "records": len(self._source),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "drop_remainder": self.drop_remainder,
            "num_shards": self.num_shards,
            "shard_index": self.shard_index,
            "transform": getattr(
                self.transform, "__qualname__", type(self.transform).__name__
            ),
            "source": self._source.signature(),
        }
