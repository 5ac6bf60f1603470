"""The methods of `ImageDataGenerator` that return iterators."""

from keras_strategies.augmentation._generator.array_iterator import NumpyArrayIterator


class Flows:
    """Iterators over arrays."""

    def flow(
        self,
        x,
        y=None,
        batch_size=32,
        shuffle=True,
        sample_weight=None,
        seed=None,
        save_to_dir=None,
        save_prefix="",
        save_format="png",
        ignore_class_split=False,
        subset=None,
        **kwargs,
    ):
        """Batches of augmented images from arrays.

        Args:
            x: Images, an array of rank 4, or a pair of it and an array or a list of
                arrays that come along unchanged. Keep uint8 as it is.
            y: Labels, or `None`.
            batch_size: Images a batch. Default 32.
            shuffle: Whether every epoch has an order of its own.
            sample_weight: Weights of the images, or `None`.
            seed: Of order and transforms; `None` takes NumPy's global one.
            save_to_dir: Directory to which every augmented image is written too.
            save_prefix: What the names of these files begin with.
            save_format: Their ending.
            ignore_class_split: Whether the subsets may have different classes.
            subset: `"training"`, `"validation"` or `None`, see `validation_split`.
            **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
                `keras.utils.PyDataset`.
        """
        return NumpyArrayIterator(
            self,
            x,
            y,
            sample_weight=sample_weight,
            subset=subset,
            ignore_class_split=ignore_class_split,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            saving=(save_to_dir, save_prefix, save_format),
            **kwargs,
        )
