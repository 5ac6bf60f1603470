"""Training as fast as the machine allows, and on what was learned before.

`accelerate` measures several ways to run the training steps of a model on its own data
and makes plain `fit` use the fastest one. Keras's training loop stays: callbacks,
validation and history are its own. `attach_head` and `fine_tune` put a backbone that
was trained elsewhere to a new task; `distill` teaches a small model by a large one;
`fit_many` trains one architecture many times, as for an `Ensemble`.
`ResumableTraining` and `IndexedDataset` make a training that died go on as if it had
not.
"""

from keras_strategies.training._accelerate import accelerate
from keras_strategies.training._distill import (
    DistillationResult,
    DistillationTrainer,
    distill,
)
from keras_strategies.training._fine_tune import (
    FineTuneResult,
    TrainableReport,
    attach_head,
    fine_tune,
    freeze,
    trainable_report,
    unfreeze,
)
from keras_strategies.training._fit import fit
from keras_strategies.training._inspect_checkpoint import inspect_checkpoint
from keras_strategies.training._many.ensemble import Ensemble
from keras_strategies.training._many.fit_many import fit_many
from keras_strategies.training._many.many_result import ManyResult
from keras_strategies.training._predict.make_predictor import predictor
from keras_strategies.training._predict.predictor import Predictor
from keras_strategies.training._resume.checkpoint_report import CheckpointReport
from keras_strategies.training._xla_report import XlaReport, xla_report
from keras_strategies.training.execution_plan import ExecutionPlan
from keras_strategies.training.indexed_dataset import IndexedDataset
from keras_strategies.training.resumable_training import ResumableTraining

__all__ = [
    "CheckpointReport",
    "DistillationResult",
    "DistillationTrainer",
    "Ensemble",
    "ExecutionPlan",
    "FineTuneResult",
    "IndexedDataset",
    "ManyResult",
    "Predictor",
    "ResumableTraining",
    "TrainableReport",
    "XlaReport",
    "accelerate",
    "attach_head",
    "distill",
    "fine_tune",
    "fit",
    "fit_many",
    "freeze",
    "inspect_checkpoint",
    "predictor",
    "trainable_report",
    "unfreeze",
    "xla_report",
]
