"""Synonyms from an embedding matrix."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks

_SPECIAL = ("", "[UNK]", "[PAD]", "[MASK]")


class EmbeddingThesaurus:
    """Synonyms from an embedding matrix: the nearest neighbours of a word.

    Needs no dictionary and works for any language and domain: use the embedding of a
    model trained on it. The similarity is the cosine:

    ```
    cos(a, b) = a . b / (|a| |b|)
    ```

    Similar words occur in similar contexts, which includes antonyms ("good", "bad"). If
    these change the class, increase `min_similarity` and inspect the neighbours.

    Args:
        embeddings: Matrix `(words, dimensions)`, or a built `keras.layers.Embedding`
            whose weights are copied.
        vocabulary: The words of the rows in their order, or a layer that has
            `get_vocabulary()`, such as `TextVectorization`.
        k: Maximum number of neighbours. Defaults to `5`.
        min_similarity: Smallest cosine of a neighbour, in `[-1, 1]`.
            Defaults to `0.5`.

    Call arguments:
        word: A word in lower case. Returns the list of its neighbours, the nearest
            first; empty for an unknown word.

    Raises:
        ValueError: If there are more words than rows, the embedding is not built, or
            an argument is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import EmbeddingThesaurus

    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    thesaurus = EmbeddingThesaurus(vectors, ["film", "movie", "cat"])
    assert thesaurus("film") == ["movie"]
    ```
    """

    def __init__(
        self, embeddings: Any, vocabulary: Any, k: int = 5, min_similarity: float = 0.5
    ) -> None:
        if isinstance(embeddings, keras.layers.Embedding):
            if not embeddings.built:
                fix = "Call its model once, or `build` it."
                name = embeddings.name
                checks.fail("`embeddings` must be built", fix=fix, embeddings=name)
            embeddings = embeddings.embeddings
        if hasattr(vocabulary, "get_vocabulary"):
            vocabulary = vocabulary.get_vocabulary()
        matrix = np.array(keras.ops.convert_to_numpy(embeddings), dtype="float32")
        self.vocabulary: list[str] = [str(word) for word in vocabulary]
        if matrix.ndim != 2 or len(self.vocabulary) > len(matrix):
            rule = "`embeddings` must have a row for each word of `vocabulary`"
            words = len(self.vocabulary)
            checks.fail(rule, shape=matrix.shape, words=words)
        self.k: int = checks.integer("k", k, low=1)
        self.min_similarity: float = checks.real(
            "min_similarity", min_similarity, low=-1, high=1
        )
        lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
        matrix = matrix / np.where(lengths > 0, lengths, 1)
        self._matrix = matrix[: len(self.vocabulary)]
        self._rows = {word: i for i, word in enumerate(self.vocabulary)}
        self._cache = {}

    def __call__(self, word: str) -> list[str]:
        if word not in self._cache:
            self._cache[word] = self._neighbours(word)
        return self._cache[word]

    def _neighbours(self, word: str) -> list[str]:
        row = self._rows.get(word)
        if row is None or word in _SPECIAL:
            return []
        similarity = self._matrix @ self._matrix[row]
        order = np.argsort(-similarity, kind="stable")[: self.k + 1 + len(_SPECIAL)]
        near = [
            self.vocabulary[i]
            for i in order
            if i != row
            and similarity[i] >= self.min_similarity
            and self.vocabulary[i] not in _SPECIAL
        ]
        return near[: self.k]
