"""Which process of the group this one is."""

from keras_strategies.training.distributed._group import current_group


def rank() -> int:
    """Returns the number of this process in its group, from 0; 0 without a group.

    Example:

    ```python
    from keras_strategies.training import distributed

    print(distributed.rank())  # 0
    ```
    """
    group = current_group()
    return 0 if group is None else group.rank


def world_size() -> int:
    """Returns the number of processes in the group; 1 without a group.

    Example:

    ```python
    from keras_strategies.training import distributed

    print(distributed.world_size())  # 1
    ```
    """
    group = current_group()
    return 1 if group is None else group.size


def is_chief() -> bool:
    """Returns whether this process has rank 0.

    One process of a group should write logs and files: make other callbacks that write,
    such as `CSVLogger` and `TensorBoard`, only there. `model.save`, `ModelCheckpoint`
    and `ResumableTraining` keep to it by themselves inside `scope`, and must be called
    in all processes.

    Example:

    ```python
    from keras_strategies.training import distributed

    if distributed.is_chief():
        print("written once")
    ```
    """
    return rank() == 0
