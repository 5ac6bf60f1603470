"""Augmentation of texts; `keras_strategies.augmentation` has the same names."""

from keras_strategies.augmentation.text.back_translation import BackTranslation
from keras_strategies.augmentation.text.embedding_thesaurus import EmbeddingThesaurus
from keras_strategies.augmentation.text.random_deletion import RandomDeletion
from keras_strategies.augmentation.text.random_insertion import RandomInsertion
from keras_strategies.augmentation.text.random_swap import RandomSwap
from keras_strategies.augmentation.text.synonym_replacement import SynonymReplacement
from keras_strategies.augmentation.text.text_augmenter import TextAugmenter
from keras_strategies.augmentation.text.typo_noise import TypoNoise
from keras_strategies.augmentation.text.word_net_thesaurus import WordNetThesaurus

__all__ = [
    "BackTranslation",
    "EmbeddingThesaurus",
    "RandomDeletion",
    "RandomInsertion",
    "RandomSwap",
    "SynonymReplacement",
    "TextAugmenter",
    "TypoNoise",
    "WordNetThesaurus",
]
