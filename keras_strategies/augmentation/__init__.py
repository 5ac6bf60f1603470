"""Data augmentation.

`ImageDataGenerator` yields augmented images from arrays, directories and data frames to
`fit`, computed on the CPU.

Layers that support XLA and run in `tf.data` on every backend: `RandomAffine` applies
all geometric operations in one resample, `RandomColorAffine` all color operations with
one matrix, `TrivialAugmentWide` one operation of random magnitude per image;
`GridMask`, `RandomCutout`, `RandomMosaic`, `MixUp`, `CutMix` and `ChannelShuffle`
remove, mix and reorder.
`RandomOpticalDistortion`, `RandomGridDistortion` and `RandomBoxSafeCrop` move pixels,
`RandomJPEGCompression`, `RandomMotionBlur`, `RandomGaussianNoise` and `RandomISONoise`
spoil them, `RandomBoxDropout` hides parts of objects.
Masks, boxes and keypoints follow.
`fuse` replaces a stack of Keras's geometric layers by one `RandomAffine`.

Texts: `SynonymReplacement`, `RandomInsertion`, `RandomSwap`, `RandomDeletion` (EDA),
`TypoNoise` and `BackTranslation`; `TextAugmenter` returns the enlarged data set.
`WordNetThesaurus` and `EmbeddingThesaurus` provide synonyms.

Signals: `SpecAugment`, `RandomTimeShift`, `RandomTimeWarp`, `RandomMagnitudeScale`,
`RandomJitter`, `RandomWindowSlice` and `SequenceMixUp` take `(batch, time, channels)`.
Tables: `SwapNoise`, `TabularMixUp` and `FeatureDropout` take `(batch, features)`.

`distribute` runs pipelines on the workers of the tf.data service.
"""

from typing import TYPE_CHECKING, Any

from keras_strategies.augmentation._image.color.channel_shuffle import ChannelShuffle
from keras_strategies.augmentation._image.color.random_color_affine import (
    RandomColorAffine,
)
from keras_strategies.augmentation._image.color.trivial_augment_wide import (
    TrivialAugmentWide,
)
from keras_strategies.augmentation._image.erasing.grid_mask import GridMask
from keras_strategies.augmentation._image.erasing.random_box_dropout import (
    RandomBoxDropout,
)
from keras_strategies.augmentation._image.erasing.random_cutout import RandomCutout
from keras_strategies.augmentation._image.geometry.random_affine import RandomAffine
from keras_strategies.augmentation._image.geometry.random_box_safe_crop import (
    RandomBoxSafeCrop,
)
from keras_strategies.augmentation._image.geometry.random_grid_distortion import (
    RandomGridDistortion,
)
from keras_strategies.augmentation._image.geometry.random_optical_distortion import (
    RandomOpticalDistortion,
)
from keras_strategies.augmentation._image.mixing.cut_mix import CutMix
from keras_strategies.augmentation._image.mixing.mix_up import MixUp
from keras_strategies.augmentation._image.mixing.random_mosaic import RandomMosaic
from keras_strategies.augmentation._image.quality.random_gaussian_noise import (
    RandomGaussianNoise,
)
from keras_strategies.augmentation._image.quality.random_iso_noise import RandomISONoise
from keras_strategies.augmentation._image.quality.random_jpeg_compression import (
    RandomJPEGCompression,
)
from keras_strategies.augmentation._image.quality.random_motion_blur import (
    RandomMotionBlur,
)
from keras_strategies.augmentation.signal.random_jitter import RandomJitter
from keras_strategies.augmentation.signal.random_magnitude_scale import (
    RandomMagnitudeScale,
)
from keras_strategies.augmentation.signal.random_time_shift import RandomTimeShift
from keras_strategies.augmentation.signal.random_time_warp import RandomTimeWarp
from keras_strategies.augmentation.signal.random_window_slice import RandomWindowSlice
from keras_strategies.augmentation.signal.sequence_mix_up import SequenceMixUp
from keras_strategies.augmentation.signal.spec_augment import SpecAugment
from keras_strategies.augmentation.tabular.feature_dropout import FeatureDropout
from keras_strategies.augmentation.tabular.swap_noise import SwapNoise
from keras_strategies.augmentation.tabular.tabular_mix_up import TabularMixUp

if TYPE_CHECKING:
    from keras_strategies.augmentation import text as text
    from keras_strategies.augmentation._pipeline.distribute import distribute
    from keras_strategies.augmentation._pipeline.fuse import fuse
    from keras_strategies.augmentation.image_data_generator import ImageDataGenerator
    from keras_strategies.augmentation.text.back_translation import BackTranslation
    from keras_strategies.augmentation.text.embedding_thesaurus import (
        EmbeddingThesaurus,
    )
    from keras_strategies.augmentation.text.random_deletion import RandomDeletion
    from keras_strategies.augmentation.text.random_insertion import RandomInsertion
    from keras_strategies.augmentation.text.random_swap import RandomSwap
    from keras_strategies.augmentation.text.synonym_replacement import (
        SynonymReplacement,
    )
    from keras_strategies.augmentation.text.text_augmenter import TextAugmenter
    from keras_strategies.augmentation.text.typo_noise import TypoNoise
    from keras_strategies.augmentation.text.word_net_thesaurus import WordNetThesaurus

# What no saved model holds is imported when it is first used.
_LAZY = {
    "BackTranslation": "text.back_translation",
    "EmbeddingThesaurus": "text.embedding_thesaurus",
    "ImageDataGenerator": "image_data_generator",
    "RandomDeletion": "text.random_deletion",
    "RandomInsertion": "text.random_insertion",
    "RandomSwap": "text.random_swap",
    "SynonymReplacement": "text.synonym_replacement",
    "TextAugmenter": "text.text_augmenter",
    "TypoNoise": "text.typo_noise",
    "WordNetThesaurus": "text.word_net_thesaurus",
    "distribute": "_pipeline.distribute",
    "fuse": "_pipeline.fuse",
}

__all__ = [
    "BackTranslation",
    "ChannelShuffle",
    "CutMix",
    "EmbeddingThesaurus",
    "FeatureDropout",
    "GridMask",
    "ImageDataGenerator",
    "MixUp",
    "RandomAffine",
    "RandomBoxDropout",
    "RandomBoxSafeCrop",
    "RandomColorAffine",
    "RandomCutout",
    "RandomDeletion",
    "RandomGaussianNoise",
    "RandomGridDistortion",
    "RandomISONoise",
    "RandomInsertion",
    "RandomJPEGCompression",
    "RandomJitter",
    "RandomMagnitudeScale",
    "RandomMosaic",
    "RandomMotionBlur",
    "RandomOpticalDistortion",
    "RandomSwap",
    "RandomTimeShift",
    "RandomTimeWarp",
    "RandomWindowSlice",
    "SequenceMixUp",
    "SpecAugment",
    "SwapNoise",
    "SynonymReplacement",
    "TabularMixUp",
    "TextAugmenter",
    "TrivialAugmentWide",
    "TypoNoise",
    "WordNetThesaurus",
    "distribute",
    "fuse",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name == "text":
        return importlib.import_module(f"{__name__}.text")
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "text"})
