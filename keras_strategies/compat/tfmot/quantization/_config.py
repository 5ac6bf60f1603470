"""Configuration of how one layer is quantized, in TFMOT's protocol."""

import abc
from collections.abc import Sequence
from typing import Any, Self


class QuantizeConfig(abc.ABC):
    """Configuration of a quantized layer, for `quantize_annotate_layer`.

    Methods get the layer: a Keras 3 layer, with the names of its weights there.
    """

    @abc.abstractmethod
    def get_weights_and_quantizers(self, layer: Any) -> Sequence[tuple[Any, Any]]:
        """Returns e.g. `[(layer.kernel, LastValueQuantizer(...))]`."""

    @abc.abstractmethod
    def get_activations_and_quantizers(self, layer: Any) -> Sequence[tuple[Any, Any]]:
        """Returns e.g. `[(layer.activation, MovingAverageQuantizer(...))]`."""

    @abc.abstractmethod
    def set_quantize_weights(self, layer: Any, quantize_weights: Sequence[Any]) -> None:
        """Not called: the named weights are replaced during the call."""

    @abc.abstractmethod
    def set_quantize_activations(
        self, layer: Any, quantize_activations: Sequence[Any]
    ) -> None:
        """Sets e.g. `layer.activation = quantize_activations[0]`."""

    @abc.abstractmethod
    def get_output_quantizers(self, layer: Any) -> Sequence[Any]:
        """Returns a list of at most one quantizer for what the layer returns."""

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Makes a config object from its config."""
        return cls(**config)
