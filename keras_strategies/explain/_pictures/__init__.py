"""Pictures of explanations."""

from keras_strategies.explain._pictures.drawing import overlay, plot_attributions
from keras_strategies.explain._pictures.explanation_callback import (
    ExplanationCallback,
)

__all__ = ["ExplanationCallback", "overlay", "plot_attributions"]
