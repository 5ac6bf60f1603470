"""Knowledge distillation."""

from keras_strategies.training._distill.distillation_result import DistillationResult
from keras_strategies.training._distill.distillation_trainer import DistillationTrainer
from keras_strategies.training._distill.one_call import distill

__all__ = ["DistillationResult", "DistillationTrainer", "distill"]
