"""What an export for on-device training produced."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TrainableResult:
    """The figures of one trainable `.tflite` file, measured from the file itself.

    Returned by `export.to_trainable_tflite`. Printing it, or `table()`, shows the
    main figures; `to_dict()` is ready for `json.dumps`.

    Args:
        path: The written file, as `str`.
        bytes: Size of the file.
        gzipped_bytes: Size of the file under gzip, about what is downloaded.
        signatures: `"train"`, `"infer"`, `"save"` and `"restore"`, each with
            `{"inputs": {name: {...}}, "outputs": {name: {...}}}`, of `shape`
            (`None` for a free axis) and `dtype`.
        ops: Operation name -> how often it occurs, over all signatures.
        variables: Name in `save` and `restore` -> shape, of the weights that train.
        state: All names in `save` and `restore`, the optimizer's included.
        optimizer: Its `kind`, `learning_rate` and other settings.
        batch_size: Samples of one training step.
        infer_difference: Largest difference of `infer` to the Keras model, relative
            to the largest output where that exceeds 1.
        loss_difference: The same for the loss of two training steps.
        weight_difference: Largest difference of a weight after these steps, as a
            fraction of how far the weights of that tensor moved.
        weight_change: How far the weight that moved most did.
        train_ms: Mean time of one of these steps in milliseconds, one thread, on
            this machine's processor.
        seconds: Wall time of the whole export.
        warnings: Sentences on what to know before using the artifact.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    result = export.to_trainable_tflite(model, "trainable.tflite", loss="mse")
    print(result.variables, result.weight_difference)
    ```
    """

    path: str
    bytes: int
    gzipped_bytes: int
    signatures: dict
    ops: dict
    variables: dict
    state: list
    optimizer: dict
    batch_size: int
    infer_difference: float
    loss_difference: float
    weight_difference: float
    weight_change: float
    train_ms: float
    seconds: float
    warnings: tuple = ()

    def table(self):
        """Returns the main figures as text, one row each."""
        rows = [
            ("file", self.path),
            ("size", f"{self.bytes:,} bytes ({self.gzipped_bytes:,} gzipped)"),
        ]
        for name, signature in self.signatures.items():
            inputs, outputs = signature["inputs"], signature["outputs"]
            if len(inputs) > 4:
                inputs = [f"{len(inputs)} values"]
            if len(outputs) > 4:
                outputs = [f"{len(outputs)} values"]
            rows.append((name, f"({', '.join(inputs)}) -> {', '.join(outputs)}"))
        optimizer = ", ".join(f"{key}={value}" for key, value in self.optimizer.items())
        ops = ", ".join(f"{name} x{count}" for name, count in self.ops.items())
        rows += [
            ("trains", ", ".join(self.variables)),
            ("optimizer", optimizer),
            ("batch size", str(self.batch_size)),
            ("difference of infer", f"{self.infer_difference:.3g}"),
            ("difference of loss", f"{self.loss_difference:.3g}"),
            ("difference of weights", f"{self.weight_difference:.3g} of the change"),
            ("training step", f"{self.train_ms:.3f} ms"),
            ("operations", ops),
        ]
        rows += [("warning", text) for text in self.warnings]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)

    def to_dict(self):
        """Returns every figure as a dict of JSON-ready values."""
        values = dataclasses.asdict(self)
        values["warnings"] = list(self.warnings)
        return values

    def __str__(self):
        return self.table()
