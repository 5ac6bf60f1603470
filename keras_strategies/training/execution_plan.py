"""Execution plan of a model: measurements, and the chosen way to train."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.reports import Column, Report
from keras_strategies._internal.storage import files
from keras_strategies.training._blocks.fit_interceptor import FitInterceptor
from keras_strategies.training._candidates import BY_NAME, KINDS, PLAIN
from keras_strategies.training._data.validation import check_model
from keras_strategies.training._fingerprint import environment, fingerprint
from keras_strategies.training._measurement.measurement import Measurement

_FORMAT = 1


def _mebibytes(value):
    return "-" if value is None else f"{value / 2**20:.1f}"


class ExecutionPlan(Report):
    """The measured way to run the steps of one model, from `training.accelerate`.

    While a plan is installed, plain `model.fit`, `evaluate` and `predict` use it. It is
    dropped, with a warning, when the model is compiled again or `fit` is given data
    that it was not made for; `remove` removes it. A plan can be saved, and installed in
    the same model in another process without measuring again: of the same layers, loss,
    metrics and optimizer, with the same versions and processor.

    Args:
        choices: Names of the chosen candidates: `{"train": ..., "test": ...,
            "predict": ...}`.
        measurements: A `Measurement` for each candidate. Defaults to none.
        details: What the plan was made for: data, batch size, memory limit, seed,
            model, environment and notes. Defaults to `None`.

    Attributes:
        rows: One dict per candidate: `candidate`, `seconds_per_epoch`, `speedup` over
            plain `fit`, `compile_seconds`, `device_bytes` of data and `note`.
        choice: Name of the chosen way to train: `"plain"`, or a compiler (`"graph"`,
            `"xla"`) and what one call of a compiled function runs (`"step"`,
            `"block"`, `"epoch"`), as in `"xla-epoch"`.
        is_installed: Whether a model uses the plan now.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    x, y = np.ones((64, 8)), np.ones((64, 1))
    plan = training.accelerate(model, x, y, time_limit=2)
    print(plan.table())
    model.fit(x, y, epochs=2, verbose=0)
    plan.save("plan.json")
    plan.remove()
    same = training.ExecutionPlan.load("plan.json")
    same.install(model)
    ```
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("candidate", left=True),
        Column("seconds_per_epoch", "s/epoch", ".3f"),
        Column("speedup", form=".2f"),
        Column("compile_seconds", "compile s", ".2f"),
        Column("device_bytes", "data MiB", _mebibytes),
        Column("note", left=True),
    )
    CHART: ClassVar[tuple[str, str] | None] = ("candidate", "seconds_per_epoch")

    def __init__(
        self,
        choices: Mapping[str, str],
        measurements: Sequence[Measurement] = (),
        details: Mapping[str, Any] | None = None,
    ):
        self.choices: dict[str, str] = {
            kind: checks.choice("choices", choices[kind], tuple(BY_NAME))
            for kind in KINDS
        }
        self.measurements: list[Measurement] = [
            Measurement(*item) for item in measurements
        ]
        self.details: dict[str, Any] = dict(details or {})
        self._interceptor = self._model = None
        # Whether `training.fit` may exchange it for another one.
        self.is_chosen_in_training: bool = False

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One dict a measured candidate, with its time beside that of plain `fit`."""
        plain = next(
            (item.seconds for item in self.measurements if item.name == PLAIN.name),
            None,
        )
        return [
            {
                "candidate": item.name,
                "seconds_per_epoch": item.seconds,
                "speedup": plain / item.seconds if plain and item.seconds else None,
                "compile_seconds": item.compile_seconds,
                "device_bytes": item.bytes,
                "note": "chosen" if item.name == self.choice else item.note,
            }
            for item in self.measurements
        ]

    @property
    def choice(self) -> str:
        """The name of the chosen way to run training steps."""
        return self.choices["train"]

    @property
    def is_installed(self) -> bool:
        """Whether a model runs its steps by this plan."""
        return self._interceptor is not None

    def install(self, model: keras.Model) -> "ExecutionPlan":
        """Makes `model` use the plan. Returns the plan.

        Raises:
            ValueError: If the plan was made for another model (layers, loss, metrics
                and optimizer count), with other versions or on another processor, if
                the model is not compiled or runs eagerly, or if the plan is installed
                in a model.
        """
        check_model(model)
        if self.is_installed:
            checks.fail(
                "a plan can be in one model at a time",
                installed_in=self._model.name,
                fix="Call `plan.remove()` first.",
            )
        for name, current in (
            ("model", fingerprint(model)),
            ("backend", keras.backend.backend()),
        ):
            planned = self.details.get(name)
            if planned != current:
                checks.fail(
                    f"the plan was made for another {name}",
                    planned=planned,
                    current=current,
                    fix="Call `training.accelerate` for a plan for this one.",
                )
        self._check_environment()
        return self._install(model, None)

    def _check_environment(self):
        """Refuses a plan whose times were measured with other versions or devices."""
        current = environment()
        planned = self.details.get("environment", current)
        changed = [name for name in current if planned.get(name) != current[name]]
        if changed:
            checks.fail(
                "the plan was measured with other versions or on another processor",
                fix="Call `training.accelerate` for a plan for this one.",
                planned={name: planned.get(name) for name in changed},
                current={name: current[name] for name in changed},
            )

    def _install(
        self, model: keras.Model, interceptor: FitInterceptor | None
    ) -> "ExecutionPlan":
        """Installs the plan, with the interceptor that was measured if there is one."""
        if installed_plan(model) is not None:
            installed_plan(model).remove()
        if interceptor is None:
            choices = {kind: BY_NAME[name] for kind, name in self.choices.items()}
            names = ("data", "batch_size", "memory_limit", "seed")
            settings = {name: self.details[name] for name in names}
            interceptor = FitInterceptor(model, choices, **settings)
        interceptor.on_drop = self._detach
        self._interceptor, self._model = interceptor.install(), model
        # Not by setattr, which Keras tracks.
        model.__dict__["_execution_plan"] = self
        return self

    def _detach(self):
        self._model.__dict__.pop("_execution_plan", None)
        self._interceptor = self._model = None

    def remove(self) -> None:
        """Removes the plan from its model, which trains as before it."""
        if self.is_installed:
            self._interceptor.remove()
            self._detach()

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """The model is as without the plan inside the block."""
        interceptor = self._interceptor
        interceptor.remove()
        try:
            yield
        finally:
            interceptor.install()

    def explain(self) -> str:
        """Returns why this way was chosen, and why XLA was or was not, as text."""
        lines = [f"Chosen for training: {self.choice}."]
        lines += [
            f"Chosen for {name}: {self.choices[kind]}."
            for kind, name in (("test", "evaluate"), ("predict", "predict"))
        ]
        return "\n".join(lines + list(self.details.get("notes", ())))

    def _summary(self) -> dict[str, Any]:
        return dict(self.choices)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the plan to `path` as JSON."""
        content = {
            "format": _FORMAT,
            "choices": self.choices,
            "measurements": [list(item) for item in self.measurements],
            "details": {**self.details, "environment": environment()},
        }
        files.replace(pathlib.Path(path), json.dumps(content, indent=1).encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "ExecutionPlan":
        """Reads a plan that `save` wrote; `install` installs it in a model.

        Raises:
            ValueError: If the file is no plan.
        """
        try:
            with open(path, encoding="utf-8") as file:
                content = json.load(file)
            if content["format"] != _FORMAT:
                raise KeyError(content["format"])
            return cls(content["choices"], content["measurements"], content["details"])
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise ValueError(
                checks.message(
                    "the file must hold a plan that `ExecutionPlan.save` wrote",
                    {"path": os.fspath(path), "problem": repr(error)},
                )
            ) from error


def installed_plan(model: keras.Model) -> ExecutionPlan | None:
    """Returns the plan that the model uses, or `None`."""
    return model.__dict__.get("_execution_plan")
