"""Base class of constraints with variables of their own, beside the weight."""

import functools
from typing import Any

import keras

from keras_strategies._internal import keras_private
from keras_strategies.compression._common.update_constraint import (
    UpdateConstraint,
    constrained_weights,
)


class StatefulConstraint(UpdateConstraint):
    """A constraint that keeps variables from one update to the next.

    Subclasses set `state_variables`. They are not saved: a file holds the weight.
    """

    state_variables: list[keras.Variable]
    carrier: Any = None

    def make_state(
        self, model: keras.Model, initial: dict[str, Any]
    ) -> list[keras.Variable]:
        """Creates float32 variables by name, and makes them the state."""
        with keras_private.variables_scope(model):
            self.state_variables = [
                keras.Variable(
                    value, dtype="float32", trainable=False, autocast=False, name=name
                )
                for name, value in initial.items()
            ]
        return self.state_variables

    def attach(self, weight: keras.Variable) -> None:
        super().attach(weight)
        self.track_state(weight)

    def detach(self, weight: keras.Variable) -> None:
        super().detach(weight)
        self._untrack_state()

    def track_state(self, weight: keras.Variable) -> None:
        """Makes the state part of the training step of JAX, a pure function.

        The step returns only variables of the model, its metrics and its optimizer,
        so the state is added to that of the optimizer.
        """
        if keras.backend.backend() != "jax":
            return
        self._untrack_state()
        compiled = getattr(self._model(), "optimizer", None)
        if compiled is None:
            return
        # Its variables exist only then, and `owns` looks among them.
        if not compiled.built:
            compiled.build(self._model().trainable_variables)
        self.carrier = self._optimizer(weight)
        if self.carrier is not None:
            keras_private.track_unsaved_state(self.carrier, self.state_variables)

    def _untrack_state(self):
        if self.carrier is not None:
            keras_private.untrack_unsaved_state(self.carrier, self.state_variables)
            self.carrier = None

    def check_carried(self) -> None:
        """Refuses a stateless training step that would lose the state."""
        if keras_private.is_frozen_by_scope(self.state_variables[0]):
            raise RuntimeError(
                f"{self.purpose.capitalize()} of {self.path!r} cannot keep its state "
                "in this stateless training step. On JAX train the model itself, with "
                "the optimizer that it is compiled with."
            )


def track_on_compile(model: keras.Model) -> None:
    """Adds the state to every optimizer that `model` is compiled with (JAX only)."""
    compile_model = model.compile
    if keras.backend.backend() != "jax" or hasattr(compile_model, "tracks_state"):
        return

    @functools.wraps(compile_model)
    def compile_and_track(*args: Any, **kwargs: Any) -> None:
        compile_model(*args, **kwargs)
        for weight in constrained_weights(model):
            if isinstance(weight.constraint, StatefulConstraint):
                weight.constraint.track_state(weight)

    compile_and_track.tracks_state = True  # type: ignore[attr-defined]
    model.compile = compile_and_track
