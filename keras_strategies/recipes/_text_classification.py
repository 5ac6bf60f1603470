"""Texts into classes."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from keras_strategies import layers
from keras_strategies._internal import checks
from keras_strategies.recipes import _compiling, _data
from keras_strategies.recipes.recipe import Recipe


def text_classification(
    texts: Sequence[str],
    y: Any,
    *,
    network: Literal["lstm", "transformer"] = "lstm",
    validation_split: float = 0.2,
    vocabulary_size: int = 5000,
    sequence_length: int | None = None,
    embedding_dim: int = 64,
    units: int = 64,
    num_layers: int = 1,
    dropout: float = 0.5,
    learning_rate: float = 2e-3,
    epochs: int = 8,
    batch_size: int = 64,
    seed: int = 0,
) -> Recipe:
    """Returns a network for texts such as reviews, with data and callbacks.

    `"lstm"` reads the words in both directions and keeps what it knows at the end;
    `"transformer"` has blocks of self-attention and a learned weighting of the words.
    Both ignore the padding. On TensorFlow the model begins with `TextVectorization`,
    so that the saved model takes strings; on JAX and Torch, which have no strings,
    the data sets are vectorized and `recipe.preprocessing` vectorizes new texts.

    For a phone export `recipe.network`, which takes word numbers: `.tflite` without
    Flex has no strings. A recurrent network is exported for one text at a time.

    Args:
        texts: The texts.
        y: Class numbers 0 to K - 1.
        network: `"lstm"` or `"transformer"`. Defaults to `"lstm"`.
        validation_split: Part of the data to validate with, of each class the same.
            Defaults to `0.2`.
        vocabulary_size: Most frequent words of the training texts that are told
            apart. Defaults to `5000`.
        sequence_length: Words of a text that are read. Defaults to `None`: so many
            that 95 % of the training texts are read whole.
        embedding_dim: Size of the word vectors. Defaults to `64`.
        units: Units of an LSTM in each direction, or of a feed-forward network.
            Defaults to `64`.
        num_layers: LSTMs or blocks on top of each other. Defaults to `1`.
        dropout: Rate of dropout of word vectors and before the classification.
            Defaults to `0.5`.
        learning_rate: Highest learning rate. Defaults to `2e-3`.
        epochs: Epochs for which the learning rate is planned. Defaults to `8`.
        batch_size: Texts of a step. Defaults to `64`.
        seed: Seed of split, order and weights. Defaults to `0`.

    Returns:
        A `Recipe`.

    Raises:
        ValueError: If a text is empty, or labels do not fit.
        TypeError: If a text is no string.

    Example:

    ```python
    from keras_strategies import recipes

    texts = ["a fine film", "what a bore", "fine indeed", "such a bore"] * 10
    recipe = recipes.text_classification(texts, [1, 0, 1, 0] * 10, epochs=1, units=4)
    recipe.model.fit(**recipe.fit_arguments, verbose=0)
    print(recipe.network.output_shape)  # (None, 2)
    ```
    """
    _data.check_training(epochs, batch_size)
    checks.choice("network", network, _NETWORKS)
    documents = _check_texts(texts)
    labels, classes = _data.class_labels(y, len(documents))
    train, held = _data.split(labels, validation_split, seed, stratify=True)
    length = checks.integer("sequence_length", sequence_length, low=1, optional=True)
    if length is None:
        words = [len(documents[i].split()) for i in train]
        length = max(4, int(np.ceil(np.quantile(words, 0.95))))
    vectorization = keras.layers.TextVectorization(
        checks.integer("vocabulary_size", vocabulary_size, low=3),
        output_sequence_length=length,
        name="vectorization",
    )
    vectorization.adapt([documents[i] for i in train])
    keras.utils.set_random_seed(seed)
    core = _network(
        network,
        (length, vectorization.vocabulary_size(), classes),
        (embedding_dim, units, num_layers, dropout, seed),
    )
    parts = [
        _data.batches([documents[i] for i in train], labels[train], batch_size,
                      shuffle=True, seed=seed),
        _data.batches([documents[i] for i in held], labels[held], batch_size),
    ]  # fmt: skip
    model = core
    if keras.backend.backend() == "tensorflow":
        strings = keras.Input((), dtype="string", name="text")
        outputs = core(vectorization(strings))
        model = keras.Model(strings, outputs, name="text_classification")
    else:
        parts = [_vectorized(dataset, vectorization) for dataset in parts]
    _compiling.compile_model(
        model, len(train), batch_size, epochs, learning_rate=learning_rate
    )
    callbacks = _compiling.best_weights(epochs)
    return Recipe(model, parts[0], parts[1], callbacks, epochs, core, vectorization)


def _vectorized(dataset: Any, vectorization: Any) -> Any:
    # Vectorized once, and kept: the words of a text do not change.
    return dataset.map(lambda text, y: (vectorization(text), y)).prefetch(2)


def _check_texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        checks.fail("`texts` must be a list of texts", error=TypeError, texts=texts)
    documents = list(texts)
    for index, text in enumerate(documents):
        if not isinstance(text, str):
            checks.fail(
                "Every text must be a string",
                error=TypeError,
                index=index,
                type=type(text).__name__,
            )
        if not text.strip():
            checks.fail(
                "Every text must have a word",
                fix="Remove empty texts and their labels.",
                index=index,
                text=text,
            )
    return documents


def _lstm(x: Any, units: int, num_layers: int, dropout: float, seed: int) -> Any:
    for number in range(num_layers):
        last = number == num_layers - 1
        lstm = keras.layers.LSTM(units, return_sequences=not last)
        x = keras.layers.Bidirectional(lstm)(x)
    return x


def _transformer(x: Any, units: int, num_layers: int, dropout: float, seed: int) -> Any:
    x = layers.PositionalEmbedding(x.shape[1])(x)
    heads = max(1, x.shape[-1] // 32)
    for _ in range(num_layers):
        x = layers.TransformerBlock(units, heads, dropout / 2, seed=seed)(x)
    x = keras.layers.LayerNormalization()(x)
    return layers.AttentionPooling(units)(x)


_NETWORKS = {"lstm": _lstm, "transformer": _transformer}


def _network(kind: str, sizes: tuple[int, int, int], options: tuple[Any, ...]) -> Any:
    length, vocabulary, classes = sizes
    embedding_dim, units, num_layers, dropout, seed = options
    for name, value in (
        ("embedding_dim", embedding_dim), ("units", units), ("num_layers", num_layers)
    ):  # fmt: skip
        checks.integer(name, value, low=1)
    tokens = keras.Input((length,), dtype="int32", name="tokens")
    # Word 0 is the padding.
    embedding = keras.layers.Embedding(
        vocabulary, embedding_dim, mask_zero=True, name="embedding"
    )
    x = embedding(tokens)
    x = keras.layers.SpatialDropout1D(dropout / 2, seed=seed)(x)
    x = _NETWORKS[kind](x, units, num_layers, dropout, seed)
    x = keras.layers.Dropout(dropout, seed=seed)(x)
    outputs = keras.layers.Dense(classes, activation="softmax", name="class")(x)
    return keras.Model(tokens, outputs, name=f"{kind}_network")
