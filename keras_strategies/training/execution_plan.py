"""What `accelerate` found out, and the way of training that it chose."""

import json
import os

import keras

from keras_strategies._internal import checks
from keras_strategies.training._candidates import BY_NAME, PLAIN
from keras_strategies.training._fingerprint import environment, fingerprint
from keras_strategies.training._installation import Installation
from keras_strategies.training._measure import KINDS, Measurement

_FORMAT = 1


class ExecutionPlan:
    """The measured way to run the steps of one model, made by `training.accelerate`.

    While a plan is installed, plain `model.fit`, `evaluate` and `predict` use it. It is
    dropped, with a warning, when the model is compiled again or `fit` is given data
    that it was not made for; `remove` takes it away. A plan can be saved, and
    installed in the same model in another process without measuring again.

    Args:
        choices: Names of the chosen candidates: `{"train": ..., "test": ...,
            "predict": ...}`.
        measurements: A `Measurement` for each candidate.
        details: What the plan was made for: data, batch size, memory limit, seed,
            model, environment and notes.

    Attributes:
        choice: Name of the chosen way to train: `"plain"`, or a compiler (`"graph"`,
            `"xla"`) and what one call of a compiled function covers (`"step"`,
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
    plan = training.accelerate(model, x, y, budget_seconds=2)
    print(plan.table())
    model.fit(x, y, epochs=2, verbose=0)
    plan.save("plan.json")
    plan.remove()
    same = training.ExecutionPlan.load("plan.json")
    same.install(model)
    ```
    """

    def __init__(self, choices, measurements=(), details=None):
        self.choices = {
            kind: checks.choice("choices", choices[kind], tuple(BY_NAME))
            for kind in KINDS
        }
        self.measurements = [Measurement(*item) for item in measurements]
        self.details = dict(details or {})
        self._installation = self._model = None

    @property
    def choice(self):
        return self.choices["train"]

    @property
    def is_installed(self):
        return self._installation is not None

    def install(self, model):
        """Makes `model` use the plan. Returns the plan.

        Raises:
            ValueError: If the plan was made for another model, another backend, or
                is installed in a model.
        """
        if self.is_installed:
            checks.fail(
                "a plan can be in one model at a time",
                installed_in=self._model.name,
                fix="Call `plan.remove()` first.",
            )
        for name, found in (
            ("model", fingerprint(model)),
            ("backend", keras.backend.backend()),
        ):
            made_for = self.details.get(name)
            if made_for != found:
                checks.fail(
                    f"the plan was made for another {name}",
                    made_for=made_for,
                    found=found,
                    fix="Call `training.accelerate` for a plan for this one.",
                )
        return self._install(model, None)

    def _install(self, model, installation):
        """With what `accelerate` has compiled already, if it has."""
        if installed_plan(model) is not None:
            installed_plan(model).remove()
        if installation is None:
            choices = {kind: BY_NAME[name] for kind, name in self.choices.items()}
            names = ("data", "batch_size", "memory_limit", "seed")
            settings = {name: self.details[name] for name in names}
            installation = Installation(model, choices, **settings)
        installation.on_drop = self._forget
        self._installation, self._model = installation.install(), model
        # Not by setattr, which Keras watches.
        model.__dict__["_execution_plan"] = self
        return self

    def _forget(self):
        self._model.__dict__.pop("_execution_plan", None)
        self._installation = self._model = None

    def remove(self):
        """Takes the plan out of its model, which trains as before it."""
        if self.is_installed:
            self._installation.remove()
            self._forget()

    def table(self):
        """Every candidate with its time, compile time and memory, as text."""
        plain = next(
            (item.seconds for item in self.measurements if item.name == PLAIN.name),
            None,
        )
        lines = [
            f"{'candidate':<12} {'s/epoch':>9} {'faster':>7} {'compile s':>10} "
            f"{'data MiB':>9}  note"
        ]
        for item in self.measurements:
            gain = plain / item.seconds if plain and item.seconds else None
            note = "chosen" if item.name == self.choice else item.note
            lines.append(
                f"{item.name:<12} {_cell(item.seconds, 9, 3)} {_cell(gain, 7, 2)} "
                f"{_cell(item.compile_seconds, 10, 2)} "
                f"{_cell(item.bytes and item.bytes / 2**20, 9, 1)}  {note}".rstrip()
            )
        return "\n".join(lines)

    def explain(self):
        """Why this way was chosen, and why XLA was or was not, as text."""
        lines = [f"Chosen for training: {self.choice}."]
        lines += [
            f"Chosen for {name}: {self.choices[kind]}."
            for kind, name in (("test", "evaluate"), ("predict", "predict"))
        ]
        return "\n".join(lines + list(self.details.get("notes", ())))

    def save(self, path):
        """Writes the plan to `path` as JSON."""
        content = {
            "format": _FORMAT,
            "choices": self.choices,
            "measurements": [list(item) for item in self.measurements],
            "details": {**self.details, "environment": environment()},
        }
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)

    @classmethod
    def load(cls, path):
        """Reads a plan that `save` wrote; `install` puts it into a model.

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


def installed_plan(model):
    """The plan that the model uses, or `None`."""
    return model.__dict__.get("_execution_plan")


def _cell(value, width, digits):
    return " " * (width - 1) + "-" if value is None else f"{value:{width}.{digits}f}"
