"""How one layer is quantized, in TFMOT's protocol."""

import abc


class QuantizeConfig(abc.ABC):
    """Says how a layer is quantized; give one to `quantize_annotate_layer`.

    Methods get the layer: a Keras 3 layer, with the names of its weights there.
    """

    @abc.abstractmethod
    def get_weights_and_quantizers(self, layer):
        """Returns e.g. `[(layer.kernel, LastValueQuantizer(...))]`."""

    @abc.abstractmethod
    def get_activations_and_quantizers(self, layer):
        """Returns e.g. `[(layer.activation, MovingAverageQuantizer(...))]`."""

    @abc.abstractmethod
    def set_quantize_weights(self, layer, quantize_weights):
        """Not called: the weights named are exchanged for the call."""

    @abc.abstractmethod
    def set_quantize_activations(self, layer, quantize_activations):
        """Sets e.g. `layer.activation = quantize_activations[0]`."""

    @abc.abstractmethod
    def get_output_quantizers(self, layer):
        """Returns a list of at most one quantizer for what the layer returns."""

    @abc.abstractmethod
    def get_config(self):
        """Returns the arguments of the constructor."""

    @classmethod
    def from_config(cls, config):
        """Makes a config object from its config."""
        return cls(**config)
