"""The four signatures of a trainable artifact (worker side)."""

import dataclasses
import logging
import pathlib

import keras

from keras_strategies.export._common import model_signature
from keras_strategies.export.convert import _erf, _messages
from keras_strategies.export.trainable import _gradients
from keras_strategies.export.trainable._optimizer_update import (
    Update,
)

SIGNATURES = ("train", "infer", "save", "restore")


class UnsupportedGradient(Exception):
    """Operations whose gradient cannot be written with LiteRT's operations."""


class Trainer:
    """A Keras model with losses and an update, as TensorFlow functions.

    Args:
        model: The Keras model, on the TensorFlow backend.
        trained: For each of `model.weights` its path, or None if it is frozen.
        inputs: Names of the inputs; those of a loaded model can be others.
        losses: `{output name: loss or its config}`.
        targets: `{output name: (input name, shape without the batch, dtype)}`.
        optimizer: What `_trainable_update.settings` returned.
        batch_size: Samples of one training step.
    """

    def __init__(self, model, trained, inputs, losses, targets, optimizer, batch_size):
        self.model = model
        self.structure, specs = model_signature.input_specs(model)
        self.specs = [
            dataclasses.replace(spec, name=name)
            for spec, name in zip(specs, inputs, strict=True)
        ]
        self.losses = {name: loss_function(loss) for name, loss in losses.items()}
        self.targets, self.batch_size = targets, batch_size
        self.variables = {}
        for variable, path in zip(model.weights, trained, strict=True):
            if path is not None:
                name = unique(model_signature.tensor_name(path), self.variables)
                self.variables[name] = variable.value
        self.update = Update(optimizer, self.variables)
        self.state = {**self.variables, **self.update.state}

    def loss(self, inputs, targets):
        """The scalar loss at inference: no dropout, stored batch statistics."""
        import tensorflow as tf

        outputs = model_signature.call(self.model, self.structure, inputs)
        total = tf.constant(0.0)
        for (name, loss), target in zip(self.losses.items(), targets, strict=True):
            value = loss(target, tf.cast(outputs[name], tf.float32))
            total += tf.reduce_mean(tf.cast(value, tf.float32))
        for penalty in self.model.losses:
            total += tf.cast(penalty, tf.float32)
        return total

    def _train(self, *tensors):
        import tensorflow as tf

        count = len(self.specs)
        with _gradients.builtin_gradients():
            loss = self.loss(tensors[:count], tensors[count:])
        try:
            found = tf.gradients(loss, list(self.variables.values()))
        except LookupError as error:
            # "No gradient defined for operation '...' (op type: Name)"
            kind = str(error).rpartition("op type: ")[2].partition(")")[0]
            raise UnsupportedGradient(kind or str(error)) from error
        except NotImplementedError as error:
            raise UnsupportedGradient(str(error)) from error
        missed = [n for n, g in zip(self.variables, found, strict=True) if g is None]
        if missed:
            raise ValueError(f"The loss does not depend on the weights {missed[:5]}")
        gradients = [tf.convert_to_tensor(gradient) for gradient in found]
        self.update.apply(dict(zip(self.variables, gradients, strict=True)))
        return {"loss": loss}

    def _infer(self, *tensors):
        import tensorflow as tf

        outputs = model_signature.call(self.model, self.structure, tensors)
        return {
            name: tf.cast(value, tf.float32)
            if value.dtype in (tf.float16, tf.bfloat16)
            else tf.identity(value)
            for name, value in outputs.items()
        }

    def _save(self):
        import tensorflow as tf

        return {name: tf.identity(value) for name, value in self.state.items()}

    def _restore(self, *values):
        import tensorflow as tf

        for variable, value in zip(self.state.values(), values, strict=True):
            variable.assign(value)
        return {"restored": tf.constant(len(values))}

    def functions(self):
        """Returns `{signature: concrete function}`."""
        import tensorflow as tf

        def inputs(batch):
            return [
                tf.TensorSpec((batch or s.shape[0], *s.shape[1:]), s.dtype, name=s.name)
                for s in self.specs
            ]

        targets = [
            tf.TensorSpec((self.batch_size, *shape), dtype, name=name)
            for name, shape, dtype in self.targets.values()
        ]
        state = [
            tf.TensorSpec(value.shape, value.dtype, name=name)
            for name, value in self.state.items()
        ]
        specs = {
            "train": inputs(self.batch_size) + targets,
            "infer": inputs(None),
            "save": [],
            "restore": state,
        }
        methods = dict(
            zip(
                SIGNATURES,
                (self._train, self._infer, self._save, self._restore),
                strict=True,
            )
        )
        return {
            name: tf.function(method, autograph=False).get_concrete_function(
                *specs[name]
            )
            for name, method in methods.items()
        }


def write(trainer, folder, artifact):
    """Converts `trainer` into the file `artifact`; `folder` is for scratch."""
    import tensorflow as tf

    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)  # "Assets written to ..."
    try:
        with model_signature.float32_compute(trainer.model):
            module = tf.Module()
            module.held = [variable.value for variable in trainer.model.variables]
            module.state = list(trainer.update.state.values())
            functions = trainer.functions()
            # Our gradients are in the graph already; none is taken of the artifact.
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            tf.saved_model.save(module, str(folder), functions, options)
    finally:
        logger.setLevel(level)
    try:
        content = _converted(folder)
    except Exception as error:
        if not {*_erf.OPS} & {*_messages.unsupported_ops(str(error))}:
            raise
        _erf.replace(folder)  # as `to_tflite` does
        content = _converted(folder)
    pathlib.Path(artifact).write_bytes(content)


def _converted(folder):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder), signature_keys=list(SIGNATURES)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.experimental_enable_resource_variables = True
    return converter.convert()


def loss_function(loss):
    """A loss by name, object, or what `serialize_keras_object` made of it."""
    if isinstance(loss, dict):
        loss = keras.saving.deserialize_keras_object(loss)
    return keras.losses.get(loss)


def unique(name, taken):
    """Returns `name`, with a number if it is taken."""
    found, number = name, 1
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found
