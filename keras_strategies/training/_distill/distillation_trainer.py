"""A model that trains a student on its own loss and on what its teacher says."""

import types
from collections.abc import Mapping, Sequence
from typing import Literal

import keras
from keras import ops

from keras_strategies._internal import bases, checks, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies.training._distill import outputs as output_kinds
from keras_strategies.training._distill import teachers, trainer_checks
from keras_strategies.training._distill.capturing import (
    capturing,
    layer_at,
)
from keras_strategies.training._distill.objective import (
    Answers,
    Objective,
    added_losses,
    checked_kinds,
    checked_layers,
    flat,
)
from keras_strategies.training._distill.projections import channels, projections
from keras_strategies.training._fine_tune.data import last_activations

#: Keys of inputs that carry the stored answers of each teacher.
INPUTS, TEACHERS = "student_inputs", "teacher_answers"


@serializable
class DistillationTrainer(bases.Model):
    """Trains a student on labels and on the answers of a teacher.

    Compile it like the student and `fit` it; the student is trained in place, and is
    all that is needed afterwards. The student runs once in a step, also where features
    of its layers are compared. `sample_weight` and `class_weight` count in both parts
    of the loss, and a saved trainer is loaded compiled and goes on. In evaluation and
    prediction it is the student.

    ```
    loss = (1 - alpha) * own loss + alpha * sum of weight * distance
           + regularization of the student
    ```

    | kind | distance |
    |---|---|
    | `"logits"` | `T**2 KL(softmax(t / T), softmax(s / T))`; of values mean square |
    | `"decoupled"` | the same, the true class and the others weighed on their own |
    | `"hints"` | mean square of features, the student's through a learned projection |
    | `"attention"` | mean square of maps `mean_c F**2`, normalized |
    | `"relational"` | Huber of distances and angles between the samples of a batch |

    What the outputs are, logits or probabilities, classes or values, comes from the
    compiled loss, or from the last activation where the loss is not one of Keras's;
    several outputs are compared one by one.

    Reference:

    - [Hinton et al., 2015, Distilling the Knowledge in a Neural Network](
      https://arxiv.org/abs/1503.02531)
    - [Zhao et al., 2022, Decoupled Knowledge Distillation](
      https://arxiv.org/abs/2203.08679)
    - [Romero et al., 2014, FitNets: Hints for Thin Deep Nets](
      https://arxiv.org/abs/1412.6550)
    - [Zagoruyko and Komodakis, 2016, Paying More Attention to Attention](
      https://arxiv.org/abs/1612.03928)
    - [Park et al., 2019, Relational Knowledge Distillation](
      https://arxiv.org/abs/1904.05068)
    - [Tarvainen and Valpola, 2017, Mean teachers are better role models](
      https://arxiv.org/abs/1703.01780): `teacher="ema"`

    Args:
        student: The built model to train.
        teacher: A built model, or a list of models, whose distances are averaged;
            `"ema"`: a moving average of the student's own weights; `"cached"`: answers
            that were stored come with the inputs, see `distill`.
        kind: Name of a distance, or a dict from names to weights. Defaults to
            `"logits"`.
        alpha: Part of the distances in the loss, in [0, 1]. Defaults to `0.5`.
        temperature: `T`, greater than 0. Defaults to `4.0`.
        layers: Pairs of paths, of a layer of the teacher and one of the student, such
            as `[("backbone/block_4", "block_2")]`: for `"hints"` and `"attention"`,
            and for `"relational"`, which takes the outputs without them. Needs one
            teacher. Defaults to `None`.
        decoupled: Weights of the true class and of the others. Defaults to
            `(1.0, 8.0)`.
        relational: Weights of distances and angles. Defaults to `(1.0, 2.0)`.
        ema_momentum: Of `teacher="ema"`, in [0, 1). Defaults to `0.99`.
        teacher_weights: Weights of several teachers. Defaults to `None`, equal ones.
        teacher_from_logits: Whether the outputs of the teachers for classes are logits,
            for all of them or each. Defaults to `None`: as its compiled loss or its
            last activation says; stored ones are as the student's.
        feature_sizes: Numbers of channels of the teacher's layers; only for hints with
            `teacher="cached"`. Defaults to `None`.
        name: Name of the model. Defaults to `None`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, a model is not built, the outputs
            of teacher and student differ, or `layers` does not name a layer of each.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import training

    def network(units):
        return keras.Sequential([
            keras.Input((8,)),
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dense(3),
        ])

    teacher, student = network(64), network(4)
    trainer = training.DistillationTrainer(student, teacher, temperature=2.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trainer.compile("adam", loss, metrics=["accuracy"])
    x, y = np.random.normal(size=(32, 8)), np.arange(32) % 3
    trainer.fit(x, y, verbose=0)
    student.predict(x, verbose=0)
    ```
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model | Sequence[keras.Model] | Literal["ema", "cached"],
        kind: str | Mapping[str, float] = "logits",
        alpha: float = 0.5,
        temperature: float = 4.0,
        layers: Sequence[tuple[str, str]] | None = None,
        decoupled: tuple[float, float] = (1.0, 8.0),
        relational: tuple[float, float] = (1.0, 2.0),
        ema_momentum: float = 0.99,
        teacher_weights: Sequence[float] | None = None,
        teacher_from_logits: bool | Sequence[bool] | None = None,
        feature_sizes: Sequence[int] | None = None,
        name: str | None = None,
    ):
        super().__init__(name=name)
        trainer_checks.check_model("student", student)
        self.alpha = checks.real("alpha", alpha, low=0, high=1)
        self.objective = Objective(
            checked_kinds(kind),
            checks.real("temperature", temperature, low=0, low_open=True),
            trainer_checks.checked_pair("decoupled", decoupled),
            trainer_checks.checked_pair("relational", relational),
        )
        self.pairs = checked_layers(layers, self.objective)
        self.ema_momentum = checks.real(
            "ema_momentum", ema_momentum, low=0, high=1, high_open=True
        )
        self.teacher_kind = teacher if isinstance(teacher, str) else "models"
        checks.choice("teacher", self.teacher_kind, ("ema", "cached", "models"))
        models = trainer_checks.checked_teachers(student, teacher)
        cached = self.teacher_kind == "cached"
        self.teacher_weights = trainer_checks.checked_weights(
            teacher_weights, None if cached else len(models)
        )
        self.feature_sizes = None if feature_sizes is None else list(feature_sizes)
        self.teacher_from_logits = trainer_checks.checked_flags(
            teacher_from_logits, len(self.teacher_weights)
        )
        self.student, self.teachers = student, models
        names = output_kinds.output_names(student)
        if names:  # by these losses and metrics of several outputs are given
            self.output_names = names
        self._find_layers()
        self.projections = self._make_projections()
        self.student_loss_tracker = keras.metrics.Mean(name="student_loss")
        self.distance_tracker = keras.metrics.Mean(name="distillation_loss")
        self._traces_training = False
        self.built = True

    def _find_layers(self):
        """The layers whose outputs are compared, kept out of Keras's tracking."""
        if self.pairs and len(self.teacher_weights) > 1:
            checks.fail(
                "`layers` needs one teacher",
                fix="Compare outputs only, or distil from one teacher at a time.",
                teachers=len(self.teacher_weights),
            )
        own = [layer_at(self.student, path, "student") for _, path in self.pairs]
        theirs = []
        if self.teachers:
            model = self.teachers[0]
            theirs = [layer_at(model, path, "teacher") for path, _ in self.pairs]
        self._layer_box = types.SimpleNamespace(content=(own, theirs))

    def _make_projections(self):
        if "hints" not in self.objective.weights:
            return []
        own, theirs = self._layer_box.content
        if theirs:
            self.feature_sizes = channels(self.teachers[0], theirs)
        elif self.feature_sizes is None or len(self.feature_sizes) != len(own):
            checks.fail(
                "`feature_sizes` must have the channels of each layer of the teacher",
                feature_sizes=self.feature_sizes,
                layers=self.pairs,
            )
        return projections(channels(self.student, own), self.feature_sizes)

    def build(self, input_shape):
        self.built = True

    def call(self, inputs, training=None):
        x, _ = _opened(inputs)
        own, _ = self._layer_box.content
        if not training or not own:
            return self.student(x, training=training)
        with capturing(own) as features:
            outputs = self.student(x, training=training)
        return {"outputs": outputs, "features": list(features)}

    def compute_output_shape(self, input_shape):
        return self.student.compute_output_shape(input_shape)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        outputs, features = self._student_answers(y_pred)
        self._traces_training = bool(training)
        own = added = 0.0
        # First: losses that a teacher's layers add must not count.
        if training:
            added = added_losses(self)
        if not training or self.alpha < 1:
            own = super().compute_loss(
                x=x,
                y=y,
                y_pred=outputs,
                sample_weight=sample_weight,
                training=training,
            )
        if not training:
            return own
        distance = self._distance(x, y, outputs, features, sample_weight)
        if self.teacher_kind == "ema":
            teachers.move_average(self.teachers[0], self.student, self.ema_momentum)
        # Parts of the batch, as Keras's own loss is one: a replica has some of it.
        rows = ops.shape(keras.tree.flatten(outputs)[0])[0]
        whole = keras_private.unscaled(own)
        self.student_loss_tracker.update_state(whole, sample_weight=rows)
        self.distance_tracker.update_state(distance, sample_weight=rows)
        distance = keras_private.additional_loss(self, distance)
        # Regularization is part of the own loss, and counts in full.
        return (1 - self.alpha) * own + self.alpha * (distance + added)

    def _distance(self, x, y, outputs, features, sample_weight):
        student = Answers(keras.tree.flatten(outputs), features)
        names = output_kinds.output_names(self.student)
        kinds = output_kinds.kinds_of(
            self.loss, outputs, names, last_activations(self.student)
        )
        x, stored = _opened(x)
        total = 0.0
        for number, weight in enumerate(self.teacher_weights):
            teacher, from_logits = self._teacher_answers(number, x, stored, len(kinds))
            output_kinds.check_same(_shapes(student.outputs), _shapes(teacher.outputs))
            total = total + weight * self.objective(
                *(student, teacher, kinds, from_logits),
                *(flat(y), flat(sample_weight), self.projections),
            )
        return total

    def _teacher_answers(self, number, x, stored, count):
        """`(answers, whether they are logits)` of one teacher with `count` outputs."""
        from_logits = None
        if self.teacher_from_logits is not None:
            flags = self.teacher_from_logits[number]
            from_logits = [flags] * count if isinstance(flags, bool) else list(flags)
        if self.teacher_kind == "cached":
            if stored is None:
                checks.fail(
                    'With teacher="cached" the inputs must carry its answers',
                    fix=f"Give a dict of {INPUTS!r} and {TEACHERS!r}, or use distill.",
                    x=sorted(x) if isinstance(x, dict) else type(x).__name__,
                )
            stop = ops.stop_gradient
            answers = Answers(
                [stop(value) for value in flat(stored[number]["outputs"])],
                [stop(value) for value in flat(stored[number].get("features"))],
            )
            return answers, from_logits
        model, (_, layers) = self.teachers[number], self._layer_box.content
        if self.teacher_kind == "ema":
            return teachers.answers(model, layers, x), None
        if from_logits is None:
            from_logits = output_kinds.gives_logits(model, count)
        return teachers.answers(model, layers, x), from_logits

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        outputs, _ = self._student_answers(y_pred)
        logs = super().compute_metrics(x, y, outputs, sample_weight)
        if not self._traces_training:
            for tracker in (self.student_loss_tracker, self.distance_tracker):
                logs.pop(tracker.name, None)
        return logs

    def _student_answers(self, y_pred):
        """`(outputs, features)` of what `call` returned."""
        keys = {"outputs", "features"}
        own, _ = self._layer_box.content
        if own and isinstance(y_pred, dict) and set(y_pred) == keys:
            return y_pred["outputs"], y_pred["features"]
        return y_pred, []

    # The teachers' weights are state of the step on JAX, and never trained, whatever
    # their flags say, which belong to whoever made the teacher.

    @property
    def trainable_variables(self):
        ours = self._of_teachers()
        return [v for v in super().trainable_variables if id(v) not in ours]

    @property
    def non_trainable_variables(self):
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    @property
    def trainable_weights(self):
        ours = self._of_teachers()
        return [v for v in super().trainable_weights if id(v) not in ours]

    @property
    def non_trainable_weights(self):
        trained = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trained]

    def _of_teachers(self):
        models = getattr(self, "teachers", ())
        return {id(variable) for model in models for variable in model.variables}

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        teacher = self.teacher_kind
        if teacher == "models":
            teacher = [serialize(model) for model in self.teachers]
        return {
            "student": serialize(self.student),
            "teacher": teacher,
            "kind": dict(self.objective.weights),
            "alpha": self.alpha,
            "temperature": self.objective.temperature,
            "layers": [list(pair) for pair in self.pairs] or None,
            "decoupled": list(self.objective.decoupled),
            "relational": list(self.objective.relational),
            "ema_momentum": self.ema_momentum,
            "teacher_weights": list(self.teacher_weights),
            "teacher_from_logits": _plain(self.teacher_from_logits),
            "feature_sizes": self.feature_sizes,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        def made(item):
            return keras.saving.deserialize_keras_object(
                item, custom_objects=custom_objects
            )

        config = {**config, "student": made(config["student"])}
        if not isinstance(config["teacher"], str):
            config["teacher"] = [made(item) for item in config["teacher"]]
        return cls(**config)


def _plain(flags):
    """Lists in place of those that Keras makes of attributes."""
    if flags is None:
        return None
    return [flag if isinstance(flag, bool) else list(flag) for flag in flags]


def _opened(inputs):
    """`(student's inputs, stored answers or None)`."""
    if isinstance(inputs, dict) and set(inputs) == {INPUTS, TEACHERS}:
        return inputs[INPUTS], inputs[TEACHERS]
    return inputs, None


def _shapes(values):
    return [tuple(value.shape) for value in values]
