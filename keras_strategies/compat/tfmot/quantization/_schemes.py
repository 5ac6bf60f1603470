"""Registries and schemes, which give each layer its config, in TFMOT's protocol."""

import abc
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.compat.tfmot.quantization._config import QuantizeConfig
from keras_strategies.compression._common import compressible_weights
from keras_strategies.compression.pruning._pruning_constraint import existing_sparsity
from keras_strategies.compression.quantization import _roles


class QuantizeRegistry(abc.ABC):
    """Registry of the `QuantizeConfig` of each layer; subclass it for custom ones."""

    @abc.abstractmethod
    def get_quantize_config(self, layer: Any) -> QuantizeConfig:
        """Returns a `QuantizeConfig` for the layer."""


class QuantizeLayoutTransform(abc.ABC):
    """Rewriting of a graph before it is quantized, in the original."""

    @abc.abstractmethod
    def apply(self, model: Any, layer_quantize_map: Any) -> Any:
        """Not called: `compression.quantize_aware` folds and fuses by itself."""


class QuantizeScheme(abc.ABC):
    """A registry and a layout, for `quantize_apply`."""

    @property
    def native(self) -> dict[str, Any]:
        """Arguments of `compression.quantize_aware` for this scheme."""
        return {}

    def native_for(self, model: keras.Model) -> dict[str, Any]:
        """The same for one model."""
        return self.native

    @abc.abstractmethod
    def get_layout_transformer(self) -> QuantizeLayoutTransform:
        """Returns a `Default8BitQuantizeLayoutTransform`; no other can be used."""

    @abc.abstractmethod
    def get_quantize_registry(self) -> QuantizeRegistry:
        """Returns a `QuantizeRegistry`."""


class NativeConfig(QuantizeConfig):
    """Stands for what `compression.quantize_aware` does with a layer."""

    def get_weights_and_quantizers(self, layer: Any) -> Sequence[tuple[Any, Any]]:
        """No weights of its own."""
        return []

    def get_activations_and_quantizers(self, layer: Any) -> Sequence[tuple[Any, Any]]:
        """No activations of its own."""
        return []

    def set_quantize_weights(self, layer: Any, quantize_weights: Sequence[Any]) -> None:
        """Not called."""

    def set_quantize_activations(
        self, layer: Any, quantize_activations: Sequence[Any]
    ) -> None:
        """Not called."""

    def get_output_quantizers(self, layer: Any) -> Sequence[Any]:
        """No quantizers of its own."""
        return []

    def get_config(self) -> dict[str, Any]:
        """No arguments."""
        return {}


class NoOpQuantizeConfig(NativeConfig):
    """Leaves a layer as it is, between quantized ones."""


class Default8BitQuantizeRegistry(QuantizeRegistry):
    """The layers of `compression.quantize_aware`.

    Args:
        disable_per_axis: Given by the scheme. Defaults to `False`.
    """

    def __init__(self, disable_per_axis: bool = False) -> None:
        self.disable_per_axis: bool = disable_per_axis

    def supports(self, layer: Any) -> bool:
        """Whether `layer` is quantized without a `QuantizeConfig`."""
        checks.instance("layer", layer, keras.layers.Layer)
        return _roles.role(layer)[0] is not None

    def get_quantize_config(self, layer: Any) -> QuantizeConfig:
        """Returns an object that stands for the default quantization."""
        if not self.supports(layer):
            checks.fail(
                "`layer` must be one of those that the registry supports",
                fix="Give it a QuantizeConfig by quantize_annotate_layer.",
                layer=layer.name,
                type=type(layer).__name__,
            )
        return NativeConfig()


class Default8BitQuantizeLayoutTransform(QuantizeLayoutTransform):
    """Stands for the folding and fusing of `compression.quantize_aware`."""

    def apply(self, model: Any, layer_quantize_map: Any) -> Any:
        """Not called; returns its arguments."""
        return model, layer_quantize_map


class Default8BitQuantizeScheme(QuantizeScheme):
    """int8 for LiteRT.

    Args:
        disable_per_axis: Whether convolutions have one range for all channels.
            Defaults to `False`.
    """

    def __init__(self, disable_per_axis: bool = False) -> None:
        self.disable_per_axis: bool = checks.boolean(
            "disable_per_axis", disable_per_axis
        )

    @property
    def native(self) -> dict[str, Any]:
        """Arguments of `compression.quantize_aware` for this scheme."""
        return {"scheme": "int8_per_tensor" if self.disable_per_axis else "int8"}

    def get_layout_transformer(self) -> QuantizeLayoutTransform:
        """Returns the default layout."""
        return Default8BitQuantizeLayoutTransform()

    def get_quantize_registry(self) -> QuantizeRegistry:
        """Returns the default registry."""
        return Default8BitQuantizeRegistry(self.disable_per_axis)


class Default8BitPrunePreserveQuantizeScheme(Default8BitQuantizeScheme):
    """int8 that keeps zeros (PQAT)."""

    @property
    def native(self) -> dict[str, Any]:
        """Arguments of `compression.quantize_aware` for this scheme."""
        return super().native | {"preserve": "sparsity"}


class Default8BitClusterPreserveQuantizeScheme(Default8BitQuantizeScheme):
    """int8 that keeps clusters (CQAT), and zeros (PCQAT).

    Args:
        preserve_sparsity: Whether zeros stay, in a model that has some. Defaults to
            `True`.
    """

    def __init__(self, preserve_sparsity: bool = True) -> None:
        super().__init__()
        self.preserve_sparsity: bool = checks.boolean(
            "preserve_sparsity", preserve_sparsity
        )

    @property
    def native(self) -> dict[str, Any]:
        """Arguments of `compression.quantize_aware` for this scheme."""
        preserve = "both" if self.preserve_sparsity else "clusters"
        return super().native | {"preserve": preserve}

    def native_for(self, model: keras.Model) -> dict[str, Any]:
        """The same for one model: without any zeros, there are none to keep."""
        weights = compressible_weights.compressible_weights(model)
        has_zeros = any(0 < existing_sparsity(weight) < 1 for _, weight in weights)
        return self.native if has_zeros else self.native | {"preserve": "clusters"}


class DefaultNBitQuantizeScheme(Default8BitQuantizeScheme):
    """Fewer bits for the weights.

    Args:
        disable_per_axis: As for `Default8BitQuantizeScheme`. With fewer than 8 bits
            it must be `False`.
        num_bits_weight: From 2 to 8. Defaults to 8.
        num_bits_activation: Must be 8, as LiteRT has no kernels for fewer.
    """

    def __init__(
        self,
        disable_per_axis: bool = False,
        num_bits_weight: int = 8,
        num_bits_activation: int = 8,
    ) -> None:
        super().__init__(disable_per_axis)
        self.num_bits_weight: int = checks.integer(
            "num_bits_weight", num_bits_weight, low=2, high=8
        )
        fix = "Activations are int8 in every .tflite file of these layers."
        checks.integer(
            "num_bits_activation", num_bits_activation, low=8, high=8, fix=fix
        )
        self.num_bits_activation: int = 8
        if disable_per_axis and num_bits_weight < 8:
            checks.fail(
                "`disable_per_axis` must be False with fewer than 8 bits",
                disable_per_axis=disable_per_axis,
                num_bits_weight=num_bits_weight,
            )

    @property
    def native(self) -> dict[str, Any]:
        """Arguments of `compression.quantize_aware` for this scheme."""
        if self.num_bits_weight == 8:
            return super().native
        # An empty expression matches every layer.
        return {"scheme": {"": self.num_bits_weight}}
