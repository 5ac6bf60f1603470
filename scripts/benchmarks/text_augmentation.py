"""Whether changed copies of texts help a small classifier, on texts of your own.

    scripts/benchmark text_augmentation FILE.tsv [--sizes 500 2000] [--seeds 10]

FILE has a label and a text in each line, with a tab between. The last 3,000 of its
shuffled lines are the test and choose nothing. For each seed a convolution over word
vectors trains on texts drawn from the others, as they are and with copies, for the
same number of steps. Synonyms are nearest neighbours among word vectors that were made
without labels from the texts outside the test. A figure is the difference of the test
accuracies in points, paired by seed, with its interval of 95 %.
"""

import argparse
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from scipy import sparse, stats
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer

from keras_strategies.augmentation import (
    EmbeddingThesaurus,
    RandomDeletion,
    RandomSwap,
    TextAugmenter,
    TypoNoise,
)

TEST, LENGTH, WORDS, BATCH = 3000, 48, 8000, 32


def read(path):
    """Shuffled texts and labels 0, 1, ..."""
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t", 1) for line in file if "\t" in line]
    order = np.random.default_rng(0).permutation(len(rows))
    kinds = sorted({label for label, _ in rows})
    labels = np.array([kinds.index(rows[k][0]) for k in order])
    return np.array([rows[k][1] for k in order]), labels


def word_vectors(texts, dimensions=100):
    """Vectors of the words of `texts`, from which words occur together (PPMI, SVD)."""
    counter = CountVectorizer(min_df=5, token_pattern=r"\S+", binary=True)
    counts = counter.fit_transform(texts).astype("float64")
    together = sparse.coo_matrix(counts.T @ counts)
    single = counts.sum(axis=0).A1
    pmi = np.log(
        together.data * len(texts) / single[together.row] / single[together.col]
    )
    kept = (pmi > 0) & (together.row != together.col)
    places = together.row[kept], together.col[kept]
    matrix = sparse.csr_matrix((pmi[kept], places), shape=together.shape)
    vectors = TruncatedSVD(dimensions, random_state=0).fit_transform(matrix)
    return vectors, counter.get_feature_names_out()


def augmenters(thesaurus, copies, seed):
    """What is compared with the texts as they are."""
    return {
        "EDA": TextAugmenter.eda(thesaurus, alpha=0.05, n_aug=copies, seed=seed),
        "swap and deletion": TextAugmenter(
            [RandomSwap(0.05), RandomDeletion(0.05)], copies=copies, seed=seed
        ),
        "TypoNoise": TextAugmenter([TypoNoise(0.1)], copies=copies, seed=seed),
    }


def accuracy(texts, labels, test, steps, seed):
    """Test accuracy after `steps` steps."""
    keras.utils.set_random_seed(seed)
    vectorize = keras.layers.TextVectorization(WORDS, output_sequence_length=LENGTH)
    vectorize.adapt(texts)
    classes = int(max(test[1])) + 1
    model = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            keras.layers.Embedding(vectorize.vocabulary_size(), 64),
            keras.layers.Dropout(0.3),
            keras.layers.Conv1D(64, 3, activation="relu"),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    tokens = np.asarray(vectorize(texts))
    rng, chosen = np.random.default_rng(seed), []
    while len(chosen) < steps * BATCH:
        chosen.extend(rng.permutation(len(tokens)))
    chosen = np.array(chosen[: steps * BATCH])
    model.fit(
        tokens[chosen], labels[chosen], batch_size=BATCH, shuffle=False, verbose=0
    )
    found = model.evaluate(
        np.asarray(vectorize(test[0])), test[1], 256, verbose=0, return_dict=True
    )
    return found["accuracy"]


def interval(differences):
    """Mean and half of the 95 % interval, in points."""
    points = 100 * np.array(differences)
    half = stats.t.ppf(0.975, len(points) - 1) * stats.sem(points)
    return points.mean(), half


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file")
    parser.add_argument("--sizes", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=25)
    options = parser.parse_args()
    texts, labels = read(options.file)
    test = texts[-TEST:], labels[-TEST:]
    texts, labels = texts[:-TEST], labels[:-TEST]
    thesaurus = EmbeddingThesaurus(*word_vectors(texts), k=5, min_similarity=0.5)
    print(f"{'texts':>6} {'copies':>6}  {'training set':<18} accuracy  difference")
    for size in options.sizes:
        copies = 16 if size <= 500 else 8
        steps = options.epochs * size // BATCH
        found = {}
        for seed in range(options.seeds):
            rows = np.random.default_rng(seed).choice(len(texts), size, replace=False)
            some, kinds = texts[rows], labels[rows]
            plain = accuracy(some, kinds, test, steps, seed)
            found.setdefault("as they are", []).append(plain)
            for name, augmenter in augmenters(thesaurus, copies, seed).items():
                enlarged = augmenter(some, kinds)
                found.setdefault(name, []).append(
                    accuracy(*enlarged, test, steps, seed)
                )
        for name, values in found.items():
            line = f"{size:>6} {copies:>6}  {name:<18} {100 * np.mean(values):7.2f}"
            if name != "as they are":
                difference = np.subtract(values, found["as they are"])
                line += "   {:+.2f} ± {:.2f}".format(*interval(difference))
            print(line, flush=True)


if __name__ == "__main__":
    main()
