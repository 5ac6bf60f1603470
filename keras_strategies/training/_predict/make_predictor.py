"""Predictions in a loop."""

import keras

from keras_strategies.training._predict.predictor import Predictor


def predictor(model: keras.Model, batch_size: int | None = None) -> Predictor:
    """Returns `model` as a quick function: arrays in, arrays out.

    `model.predict` prepares a data pipeline, callbacks and a progress bar for each
    call. For one row in a loop (an agent, a game, a server) that is nearly all of the
    time. The returned function keeps a compiled program for a few numbers of rows
    (powers of two) and fills the last one up, so that any number of rows may come
    without compiling again.

    - Outputs equal those of `model.predict` up to rounding: each program is compared
      with the model itself when it is made. A custom `predict_step` is used.
    - Weights are read at each call: `fit`, `set_weights`, `assign` and `load_weights`
      are seen by the next one. So are `quantize`, `enable_lora` and `compile`, after
      which programs are made again.
    - Calls from several threads are safe. At most 32 programs are kept.
    - A model that changes state in a call (a stateful recurrent layer, random numbers)
      is called once for each call, with no row added, one thread after another.
    - A model whose predictions depend on the other rows of a batch gets no row added
      either, with a warning.

    On TensorFlow a program is compiled by XLA or as a graph, whichever is quicker on
    the first rows; as a graph where the network has many layers, or checks values or
    looks up rows, since XLA does not notice an index out of range. On JAX it is
    compiled by `jax.jit`; on Torch it is a trace, or the model as it is written if
    Python reads values in it.

    Args:
        model: Model. One that is not built yet is built by the first call.
        batch_size: Rows of the largest batch; more rows are predicted in pieces.
            Defaults to `None`: about 2 MiB where a row is largest, between 32 and
            1,024 rows.

    Returns:
        A `Predictor`: call it with what `model.predict` takes, as arrays.

    Raises:
        TypeError: If `model` is no Keras model.
        ValueError: If `batch_size` is less than 1.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    predict = training.predictor(model)
    for _ in range(100):
        action = predict(np.random.normal(size=(1, 8))).argmax()
    ```
    """
    return Predictor(model, batch_size)
