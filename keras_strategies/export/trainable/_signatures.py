"""Signatures of a trainable artifact: train, infer, save, restore (worker side)."""

import dataclasses
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras

from keras_strategies.export._common import model_signature
from keras_strategies.export.convert import _messages
from keras_strategies.export.convert._substitutes import graph_calls
from keras_strategies.export.convert._trace import quiet_tensorflow
from keras_strategies.export.trainable import _gradients
from keras_strategies.export.trainable._optimizer_update import Update

SIGNATURES = ("train", "infer", "save", "restore")


class UnsupportedGradient(Exception):
    """Operations whose gradient cannot be written with LiteRT's operations."""


class Trainer:
    """A Keras model with losses and an update, as TensorFlow functions.

    Args:
        model: The Keras model, on the TensorFlow backend.
        trained: For each of `model.weights` its path, or None if it is frozen.
        inputs: Names of the inputs; those of a loaded model may differ.
        losses: `{output name: loss or its config}`.
        targets: `{output name: (input name, shape without the batch, dtype)}`.
        optimizer: From `_optimizer_update.optimizer_settings`.
        batch_size: Samples of one training step.
    """

    def __init__(
        self,
        model: keras.Model,
        trained: Sequence[str | None],
        inputs: Sequence[str],
        losses: Mapping[str, Any],
        targets: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        batch_size: int,
    ) -> None:
        self.model = model
        self.structure, specs = model_signature.input_specs(model)
        self.specs = [
            dataclasses.replace(spec, name=name)
            for spec, name in zip(specs, inputs, strict=True)
        ]
        self.losses = {name: deserialize_loss(loss) for name, loss in losses.items()}
        self.targets, self.batch_size = targets, batch_size
        self.variables: dict[str, Any] = {}
        for variable, path in zip(model.weights, trained, strict=True):
            if path is not None:
                name = unique_name(model_signature.tensor_name(path), self.variables)
                self.variables[name] = variable.value
        self.update = Update(optimizer, self.variables)
        self.state = {**self.variables, **self.update.state}

    def loss(self, inputs: Sequence[Any], targets: Sequence[Any]) -> Any:
        """The scalar loss at inference: no dropout, stored batch statistics."""
        import tensorflow as tf

        outputs = model_signature.call_model(self.model, self.structure, inputs)
        # Each loss has the weight 1; its reduction may leave one value a sample.
        total = tf.constant(0.0)
        for (name, loss), target in zip(self.losses.items(), targets, strict=True):
            value = loss(target, tf.cast(outputs[name], tf.float32))
            total += tf.reduce_mean(tf.cast(value, tf.float32))
        # Penalties of regularizers and of `add_loss`.
        for penalty in self.model.losses:
            total += tf.cast(penalty, tf.float32)
        return total

    def _train(self, *tensors):
        import tensorflow as tf

        count = len(self.specs)
        with _gradients.builtin_gradients():
            loss = self.loss(tensors[:count], tensors[count:])
        try:
            gradients = tf.gradients(loss, list(self.variables.values()))
        except LookupError as error:
            # "No gradient defined for operation '...' (op type: Name)"
            kind = str(error).rpartition("op type: ")[2].partition(")")[0]
            raise UnsupportedGradient(kind or str(error)) from error
        except NotImplementedError as error:
            raise UnsupportedGradient(str(error)) from error
        named = dict(zip(self.variables, gradients, strict=True))
        unused = [name for name, gradient in named.items() if gradient is None]
        if unused:
            raise ValueError(f"The loss does not depend on the weights {unused[:5]}")
        # Gradients of embeddings are slices until they are converted.
        self.update.apply({k: tf.convert_to_tensor(v) for k, v in named.items()})
        return {"loss": loss}

    def _infer(self, *tensors):
        outputs = model_signature.call_model(self.model, self.structure, tensors)
        return model_signature.as_float32_outputs(outputs)

    def _save(self):
        import tensorflow as tf

        return {name: tf.identity(value) for name, value in self.state.items()}

    def _restore(self, *values):
        import tensorflow as tf

        for variable, value in zip(self.state.values(), values, strict=True):
            variable.assign(value)
        return {"restored": tf.constant(len(values))}

    def functions(self) -> dict[str, Any]:
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
        methods = {
            "train": (self._train, inputs(self.batch_size) + targets),
            "infer": (self._infer, inputs(None)),
            "save": (self._save, []),
            "restore": (self._restore, state),
        }
        return {
            name: tf.function(method, autograph=False).get_concrete_function(*specs)
            for name, (method, specs) in methods.items()
        }


def write_artifact(trainer: Trainer, folder: pathlib.Path, artifact: pathlib.Path):
    """Converts `trainer` into the file `artifact`; `folder` is for scratch."""
    import tensorflow as tf

    with quiet_tensorflow(), model_signature.float32_compute(trainer.model):
        module = tf.Module()
        # Variables are part of a SavedModel only as attributes of its module.
        module.model_variables = [v.value for v in trainer.model.variables]
        module.optimizer_state = list(trainer.update.state.values())
        functions = trainer.functions()
        # Our gradients are in the graph already; none is taken of the artifact.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(folder), functions, options)
    try:
        content = _convert(folder)
    except Exception as error:
        ops = _messages.unsupported_ops(str(error))
        if not graph_calls.replace(folder, ops)["replaced"]:  # as `to_tflite` does
            raise
        content = _convert(folder)
    artifact.write_bytes(content)


def _convert(folder):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder), signature_keys=list(SIGNATURES)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    converter.experimental_enable_resource_variables = True
    return converter.convert()


def deserialize_loss(loss: Any) -> Any:
    """Returns a loss by its name, object, or serialized form."""
    if isinstance(loss, dict):
        loss = keras.saving.deserialize_keras_object(loss)
    return keras.losses.get(loss)


def unique_name(name: str, used_names: Collection[str]) -> str:
    """Returns `name`, with a number if it is already used."""
    candidate, number = name, 1
    while candidate in used_names:
        candidate, number = f"{name}_{number}", number + 1
    return candidate
