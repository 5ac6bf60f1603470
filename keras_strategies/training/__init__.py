"""Training as fast as the machine allows, and on what was learned before.

`accelerate` measures several ways to run the training steps of a model on its own data
and makes plain `fit` use the fastest one. Keras's training loop stays: callbacks,
validation and history are its own. `attach_head` and `fine_tune` put a backbone that
was trained elsewhere to a new task; `distill` teaches a small model by a large one;
`fit_many` trains one architecture many times, as for an `Ensemble`.
`ResumableTraining` and `IndexedDataset` make a training that died go on as if it had
not. `distributed` trains over several devices, processes and machines.
"""

import importlib
from typing import TYPE_CHECKING, Any

from keras_strategies._internal.lazy import lazy_names

# What a saved model may hold is registered whenever the package is imported.
from keras_strategies.training._distill.distillation_trainer import DistillationTrainer
from keras_strategies.training._fine_tune.depth_multipliers import (
    DepthMultipliers as _DepthMultipliers,  # noqa: F401
)
from keras_strategies.training._many.ensemble import Ensemble

if TYPE_CHECKING:
    from keras_strategies.training import distributed
    from keras_strategies.training._accelerate import accelerate
    from keras_strategies.training._distill.distillation_result import (
        DistillationResult,
    )
    from keras_strategies.training._distill.one_call import distill
    from keras_strategies.training._fine_tune.fine_tune_result import FineTuneResult
    from keras_strategies.training._fine_tune.freezing import freeze, unfreeze
    from keras_strategies.training._fine_tune.heads import attach_head
    from keras_strategies.training._fine_tune.trainable_report import (
        TrainableReport,
        trainable_report,
    )
    from keras_strategies.training._fine_tune.two_phases import fine_tune
    from keras_strategies.training._fit import fit
    from keras_strategies.training._inspect_checkpoint import inspect_checkpoint
    from keras_strategies.training._many.fit_many import fit_many
    from keras_strategies.training._many.many_result import ManyResult
    from keras_strategies.training._predict.make_predictor import predictor
    from keras_strategies.training._predict.predictor import Predictor
    from keras_strategies.training._resume.checkpoint_report import CheckpointReport
    from keras_strategies.training._xla_report import XlaReport, xla_report
    from keras_strategies.training.execution_plan import ExecutionPlan
    from keras_strategies.training.indexed_dataset import IndexedDataset
    from keras_strategies.training.resumable_training import ResumableTraining

# All else is imported when it is first used: most programs need little of it.
_MODULES = {
    "CheckpointReport": "_resume.checkpoint_report",
    "DistillationResult": "_distill.distillation_result",
    "ExecutionPlan": "execution_plan",
    "FineTuneResult": "_fine_tune.fine_tune_result",
    "IndexedDataset": "indexed_dataset",
    "ManyResult": "_many.many_result",
    "Predictor": "_predict.predictor",
    "ResumableTraining": "resumable_training",
    "TrainableReport": "_fine_tune.trainable_report",
    "XlaReport": "_xla_report",
    "accelerate": "_accelerate",
    "attach_head": "_fine_tune.heads",
    "distill": "_distill.one_call",
    "fine_tune": "_fine_tune.two_phases",
    "fit": "_fit",
    "fit_many": "_many.fit_many",
    "freeze": "_fine_tune.freezing",
    "inspect_checkpoint": "_inspect_checkpoint",
    "predictor": "_predict.make_predictor",
    "trainable_report": "_fine_tune.trainable_report",
    "unfreeze": "_fine_tune.freezing",
    "xla_report": "_xla_report",
}

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
    "distributed",
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

_lazy = lazy_names(__name__, _MODULES)


def __getattr__(name: str) -> Any:
    if name == "distributed":
        return importlib.import_module(f"{__name__}.{name}")
    return _lazy(name)


def __dir__() -> list[str]:
    return sorted(__all__)
