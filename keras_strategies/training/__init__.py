"""Training as fast as the machine allows: measured execution plans.

`accelerate` measures the ways to run the steps of a model on its own data and makes
plain `fit` use the fastest one. Keras's loop stays: callbacks, validation and history
are its own.
"""

from keras_strategies.training.accelerate import accelerate
from keras_strategies.training.execution_plan import ExecutionPlan
from keras_strategies.training.one_call import fit
from keras_strategies.training.xla_report import XlaReport, xla_report

__all__ = ["ExecutionPlan", "XlaReport", "accelerate", "fit", "xla_report"]
