"""Loop of steps in a TensorFlow graph whose batches have any number of rows."""

from typing import Any

import keras

from keras_strategies.training._blocks.loop_tensorflow import (
    TensorFlowLoop,
    compiled,
    rows_of_batch,
)
from keras_strategies.training._launches.step_block import StepBlock
from keras_strategies.training._launches.step_program import Launched, StepProgram


class TensorFlowAnySizeLoop:
    """Runs the steps of one block, the partial batch too, by one traced step.

    Tracing a step takes longer than some epochs of a small model. The number of rows
    of a batch is an argument here, so that another batch size and the partial batch
    need no further trace. Only for Keras's own steps, whose logs are the results of
    the metrics.

    Args:
        model: The model.
        kind: `"train"` or `"test"`.
    """

    def __init__(self, model: keras.Model, kind: str):
        import tensorflow as tf

        self._tf, self._model, self._kind = tf, model, kind
        self._step = getattr(model, f"{kind}_step")
        self._run = compiled(tf, self._run_rows, False)
        self._of_size: dict[int | None, TensorFlowLoop] = {}

    def __call__(self, block: StepBlock) -> Any:
        size = block.batch_size or 1
        begin = block.first_batch * size
        end = begin + block.full_batches * size + block.partial_batch_rows
        numbers = (self._tf.constant(number) for number in (begin, end, size))
        return self._run(block.data, block.order, *numbers)

    def launch(self, block: StepBlock, program: StepProgram, inputs: Any) -> Launched:
        """As `TensorFlowLoop.launch`: with what callbacks add, a loop for each size."""
        size = block.batch_size
        if size not in self._of_size:
            loop = TensorFlowLoop(self._model, self._kind, size or 1, xla=False)
            self._of_size[size] = loop
        return self._of_size[size].launch(block, program, inputs)

    def _run_rows(self, data, order, begin, end, size):
        tf = self._tf

        def body(start):
            rows = tf.minimum(size, end - start)
            self._step(rows_of_batch(tf, data, order, start, rows))
            return start + rows

        # One iteration at a time: each step reads the weights that the last one wrote.
        tf.while_loop(lambda start: start < end, body, (begin,), parallel_iterations=1)
        return self._model.get_metrics_result()
