"""How faithful explanations are."""

from keras_strategies.explain._evaluation.evaluate import evaluate
from keras_strategies.explain._evaluation.faithfulness_report import (
    FaithfulnessReport,
)

__all__ = ["FaithfulnessReport", "evaluate"]
