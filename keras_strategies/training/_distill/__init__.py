"""Knowledge distillation."""

from keras_strategies.training._distill.distillation_trainer import DistillationTrainer

__all__ = ["DistillationTrainer"]
