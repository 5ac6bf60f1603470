"""One `fit`: what is read from a checkpoint at its begin, and written on its way."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    callback_list,
    iterations_variable,
    sync_state,
)
from keras_strategies._internal.keras_private.distribution.process_group import (
    active_group,
    local_value,
)
from keras_strategies._internal.keras_private.fit_loop import build_all_state
from keras_strategies._internal.keras_private.resuming import set_first_epoch
from keras_strategies._internal.traversal import (
    base_optimizers,
    innermost_optimizer,
)
from keras_strategies.training._resume import architecture, variables
from keras_strategies.training._resume.callback_states import SiblingStates
from keras_strategies.training._resume.checkpoints import Checkpoint
from keras_strategies.training._resume.data_position import DataPosition
from keras_strategies.training._resume.encoding import decode, encode
from keras_strategies.training._resume.fingerprint import (
    differences,
    fingerprint,
    is_rate,
)
from keras_strategies.training._resume.random_states import (
    get_random_states,
    set_random_states,
)
from keras_strategies.training._resume.store import CheckpointStore

# Groups of variables that begin anew where such a difference is meant.
_GROUP_PARTS = {"metrics": "compile", "optimizer": "optimizer"}


class TrainingRun:
    """The state of a `fit`, its position, and the checkpoint it goes on from.

    Attributes:
        model: The model.
        store: Where checkpoints are.
        step: The batch of its first epoch that `fit` begins with.
        is_pending: Whether a checkpoint is to be restored yet.
        is_over: Whether there is nothing to train.
    """

    def __init__(
        self,
        model: keras.Model,
        fit: Mapping[str, Any],
        siblings: Sequence[keras.callbacks.Callback],
        store: CheckpointStore,
        save_freq: int | str,
        params: Mapping[str, Any],
    ):
        self.model, self.store = model, store
        self._fit, self._siblings, self._save_freq = fit, siblings, save_freq
        self._epochs = int(params.get("epochs") or 1)
        self._data = DataPosition(fit)
        self._states = SiblingStates(siblings)
        self._fingerprint = fingerprint(model, fit, self._states_of_users())
        self._copies = variables.HostCopies()
        self._architecture = architecture.of(model)
        self._checkpoint: Checkpoint | None = None
        self._epoch = self._batches = 0
        self._deferred = self._warned = False
        self._epoch_random: dict[str, Any] | None = None
        self.step = 0
        self.is_pending = self.is_over = False
        self._allow: tuple[str, ...] = ()
        self._meant_rates: list[tuple[Any, float]] = []
        if "make_train_function" in model.__dict__:
            checks.fail(
                "ResumableTraining needs the training steps of Keras",
                fix="Take the plan of training.accelerate off: plan.remove().",
                model=model.name,
            )
        if save_freq != "epoch" and self._data.steps is None:
            checks.fail(
                "`save_freq` must be 'epoch' for data of unknown length",
                fix="Give fit `steps_per_epoch`, or the data as an IndexedDataset.",
                save_freq=save_freq,
            )

    def _states_of_users(self):
        kinds = (keras.callbacks.ProgbarLogger, keras.callbacks.History)
        return [item for item in self._siblings if not isinstance(item, kinds)]

    def owner(self, callback: keras.callbacks.Callback) -> Any:
        """Returns the list of callbacks of this fit."""
        return callback_list(callback)

    def find(self, allow: Collection[str]) -> str | None:
        """Looks for a checkpoint to go on from; returns what to tell about it."""
        checkpoint = self.store.newest()
        group = active_group()
        if group is not None:
            group.require_equal(
                0 if checkpoint is None else checkpoint.info["sequence"],
                "The newest checkpoint",
                "Give a `directory` that all hosts share.",
            )
        if checkpoint is None:
            return None
        state = checkpoint.state
        self._allow = tuple(allow)
        # Before anything is assigned: a refused checkpoint leaves the model as it is.
        self._refuse_differences(state["fingerprint"])
        if self.model.built:  # else as soon as it is
            groups = {"model": variables.variables_of(self.model)["model"]}
            weights = {"model": state["variables"]["model"]}
            variables.fitting(weights, checkpoint.arrays, groups)
        info = checkpoint.info
        if info["finished"]:
            if info["epoch"] >= self._epochs or info["stopped"]:
                self._checkpoint = checkpoint
                self.is_pending = self.is_over = True
                return (
                    f"This training has ended after {info['epoch']} epochs "
                    f"({self.store.storage.location}): there is nothing to do."
                )
            checkpoint = self._before_the_end(info["epoch"])
        self._checkpoint, self.is_pending = checkpoint, True
        return self._go_to(checkpoint)

    def _before_the_end(self, epoch):
        """The last checkpoint of a training that has ended and is to go on.

        At its end callbacks and optimizer have put other weights into the model.
        """
        checkpoint = self.store.newest(finished=False)
        if checkpoint is None or checkpoint.info["epoch"] != epoch:
            checks.fail(
                "A training that has ended goes on only from the checkpoint before its "
                "end, which is not there any more",
                fix="Keep more than one checkpoint (`keep`).",
                ended_after=epoch,
                epochs=self._epochs,
            )
        return checkpoint

    def _go_to(self, checkpoint):
        info = checkpoint.info
        epoch, step = info["epoch"], info["step"]
        # Two random states: data drew from the first when the epoch began, the steps
        # since from the second. An epoch that is read again from its begin must see
        # both.
        before_data = checkpoint.state["epoch_random"] if step else None
        before_data = before_data and decode(before_data, checkpoint.arrays)
        before_step = decode(checkpoint.state["random"], checkpoint.arrays)
        self.step = self._converted(step, checkpoint)
        self._epoch = epoch
        self._epoch_random = before_data
        stops = info["stopped"]
        set_first_epoch(self.model, max(1, self._epochs) if stops else epoch)
        if not stops:
            self._data.begin(
                epoch,
                self.step,
                checkpoint.state["data_epoch"],
                lambda: before_data and set_random_states(before_data),
                lambda: set_random_states(before_step),
            )
        batch = f", batch {step}" if step else ""
        return (
            f"Resuming at epoch {epoch + 1}{batch} from {checkpoint.name} "
            f"({self.store.storage.location})."
        )

    def _converted(self, step, checkpoint):
        """The batch at the position of `step`, where batches have another size now."""
        steps, before = self._data.steps, checkpoint.info["steps_per_epoch"]
        if not step or steps is None or steps == before:
            return step
        data = checkpoint.state["fingerprint"]["data"]
        size, now = data.get("batch_size"), self._fingerprint["data"].get("batch_size")
        # The samples that were seen are what both sizes of batches have in common.
        if size and now:
            step = step * size // now
        return min(step, steps - 1)

    def _refuse_differences(self, before):
        every = [
            entry
            for part in before
            for entry in differences(before[part], self._fingerprint[part], (part,))
        ]
        if any(is_rate(path) for path, _, _ in every):
            # A new rate that is meant holds, although the old one is a variable of the
            # checkpoint.
            self._meant_rates = [
                (item, float(keras.ops.convert_to_numpy(item.learning_rate)))
                for root in variables.optimizers_of(self.model)
                for item in base_optimizers(root)
            ]
        found = [
            entry for entry in every if entry[0].partition(".")[0] not in self._allow
        ]
        if not found:
            return
        parts = dict.fromkeys(path.partition(".")[0] for path, _, _ in found)
        shown = "; ".join(f"{p}: {a!r} before, {b!r} now" for p, a, b in found[:6])
        more = f"; and {len(found) - 6} more" if len(found) > 6 else ""
        checks.fail(
            f"The checkpoint must be one of this training. It differs in {shown}{more}",
            fix="Use another directory for another training. If a difference is meant, "
            f"say so: allow={tuple(parts)}. The result is then not that of one run.",
            directory=self.store.storage.location,
        )

    def begin(self) -> None:
        """Called when all callbacks have begun."""
        self._states = SiblingStates(self._siblings)
        doubt = self._data.doubt()
        if doubt is not None:
            warnings.warn(
                f"A resumed training may see its data in another order: {doubt}. Give "
                "fit a training.IndexedDataset.",
                stacklevel=6,
            )

    def restore(self) -> None:
        """Puts back what the checkpoint has."""
        checkpoint = self._checkpoint
        if not self.is_pending or checkpoint is None:
            return
        self.is_pending = False
        model, state, arrays = self.model, checkpoint.state, checkpoint.arrays
        # Metrics and slots exist only after a step or `build`: until then their values
        # have nowhere to go.
        build_all_state(model, self._fit["epoch_iterator"])
        for optimizer in variables.optimizers_of(model):
            if not optimizer.built and optimizer is model.optimizer:
                optimizer.build(model.trainable_variables)
        groups = variables.variables_of(model)
        optional = [g for g, part in _GROUP_PARTS.items() if part in self._allow]
        described = variables.fitting(state["variables"], arrays, groups, optional)
        variables.assign(described, arrays, groups)
        for group in set(state["variables"]) - set(described):
            warnings.warn(
                f"The variables of the {group} begin anew: the checkpoint has others.",
                stacklevel=6,
            )
        for optimizer, rate in self._meant_rates:
            optimizer.learning_rate = rate
        self._states.set(state["callbacks"], arrays)
        if checkpoint.info["stopped"]:
            model.stop_training = True
        set_random_states(decode(state["random"], arrays))
        if not self._meant_rates:
            self._fingerprint["optimizer"] = state["fingerprint"]["optimizer"]
        if not self.is_over:
            self._checkpoint = None

    def restore_end(self) -> None:
        """Puts back the end of a training that had ended, after a fit of no epoch.

        At the end of fit Keras lets the optimizer write its averages into the weights
        (`use_ema`), also when nothing was trained; what callbacks had written at the
        true end stood there.
        """
        self.is_pending = True
        self.restore()

    def begin_epoch(self, epoch: int) -> None:
        """Called when all callbacks have begun an epoch."""
        if not self.is_pending:
            self._epoch_random = get_random_states()
        self._epoch = epoch

    def end_batch(self, batch: int, leaves: bool) -> bool:
        """Saves if it is time to; returns whether it did.

        Not after the last batch of an epoch, where Keras's loops cannot begin: the
        checkpoint is then written at the end of the epoch.
        """
        if self._save_freq == "epoch" and not leaves:
            return False
        size = self._fit["epoch_iterator"].steps_per_execution
        self._batches += size
        if not leaves and self._batches < self._save_freq:
            return False
        steps, step = self._data.steps, batch + 1
        if steps is None or step >= steps or self.model.stop_training:
            self._deferred = True
            return False
        self._batches = 0
        self._save(self._epoch, step, {}, finished=False, wait=leaves)
        return True

    def end_epoch(self, epoch: int, logs: Mapping[str, Any], always: bool) -> bool:
        """Saves, if epochs are saved or there is a reason to; returns whether."""
        ends = epoch + 1 >= self._epochs or self.model.stop_training
        due = self._save_freq == "epoch" or self._deferred or always or ends
        self._deferred = False
        if due:
            self._batches = 0
            self._save(epoch + 1, 0, logs, finished=False)
        self._epoch = epoch + 1
        return due

    @property
    def can_save_alone(self) -> bool:
        """Whether this process can save at a step where the others of its group do not.

        On JAX the chief has all there is, unless weights are divided. On TensorFlow
        each process has a part of the metrics, and all must save at the same step.
        """
        group = active_group()
        if group is None:
            return True
        if keras.backend.backend() != "jax" or not group.is_chief:
            return False
        return all(local_value(v) is not None for v in self.model.variables)

    def finish(self, logs: Mapping[str, Any]) -> None:
        """Saves what the training has come to."""
        if self.is_pending:
            self.restore()
        self._save(self._epoch, 0, logs, finished=True, wait=True)

    def _save(self, epoch, step, logs, finished, wait=False):
        # The thread that writes the last checkpoint may still read the arrays that
        # `take` is about to fill.
        self.store.wait()
        sync_state(self.model)
        described, arrays = self._copies.take(variables.variables_of(self.model))
        random_states = encode(get_random_states(), arrays, "random")
        epoch_random = None
        if step and self._epoch_random is not None and not self._data.is_indexed:
            epoch_random = encode(self._epoch_random, arrays, "epoch_random")
        state = {
            "variables": described,
            "random": random_states,
            "epoch_random": epoch_random,
            "callbacks": self._states.read(arrays),
            "data_epoch": self._data.next_epoch(step),
            "fingerprint": self._fingerprint,
        }
        self._warn_of_forgetful()
        optimizer = innermost_optimizer(self.model.optimizer)
        counter = iterations_variable(optimizer) if optimizer is not None else None
        info = {
            "epoch": epoch,
            "step": step,
            "steps_per_epoch": self._data.steps,
            "finished": finished,
            "stopped": bool(self.model.stop_training),
            "iterations": None
            if counter is None
            else int(keras.ops.convert_to_numpy(counter)),
            "logs": {k: float(np.mean(v)) for k, v in logs.items()},
        }
        self.store.save(info, state, arrays, self._architecture, wait)

    def _warn_of_forgetful(self):
        names = self._states.forgetful()
        if names and not self._warned:
            self._warned = True
            warnings.warn(
                f"What {', '.join(names)} remembers cannot be put back when training "
                "is resumed. Give it get_state and set_state, see callbacks.Stateful.",
                stacklevel=7,
            )
