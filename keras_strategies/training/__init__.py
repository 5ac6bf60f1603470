"""Training as fast as the machine allows, by measured execution plans.

`accelerate` measures several ways to run the training steps of a model on its own data
and makes plain `fit` use the fastest one. Keras's training loop stays: callbacks,
validation and history are its own.
"""

from keras_strategies.training._accelerate import accelerate
from keras_strategies.training._fit import fit
from keras_strategies.training._xla_report import XlaReport, xla_report
from keras_strategies.training.execution_plan import ExecutionPlan

__all__ = ["ExecutionPlan", "XlaReport", "accelerate", "fit", "xla_report"]
