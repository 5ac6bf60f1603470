"""Regularization: penalties, dropout, normalization, stopping, labels, averages."""

import keras

from keras_strategies import callbacks, optimizers, regularizers
from keras_strategies.ablation._catalog import models
from keras_strategies.ablation._catalog.models import refuse
from keras_strategies.ablation._strategy import Strategy

_DROPOUT = 0.3
_DROP_PATH = 0.2
# Keras's 0.99 takes hundreds of steps, which a small training does not have.
_MOMENTUM = 0.9
_SMOOTHING = 0.1


def _l1(model):
    regularizers.apply(model, kernel=keras.regularizers.L1(1e-4))


def _l2(model):
    regularizers.apply(model, kernel=keras.regularizers.L2(1e-3))


def _penalty_code(penalty):
    return {
        "imports": "from keras_strategies import regularizers",
        "model": f"regularizers.apply(model, kernel=keras.regularizers.{penalty})",
    }


def _refuse_layers(model, kinds, reason):
    """Refuses a model that has such layers."""
    if any(isinstance(layer, kinds) for layer in models.paths(model).values()):
        refuse(reason)


def _dropout_places(model):
    dropouts = (keras.layers.Dropout, keras.layers.SpatialDropout2D)
    _refuse_layers(model, dropouts, "the model has dropout already")
    dense = [
        path
        for path, layer in models.hidden_layers(model).items()
        if isinstance(layer, keras.layers.Dense)
    ]
    return models.exact(dense or [models.before_head(model)])


def _dropout(model):
    return models.insert_behind(
        model, _dropout_places(model), lambda layer: keras.layers.Dropout(_DROPOUT)
    )


def _dropout_code(model, epochs):
    return models.insert_code(
        _dropout_places(model), f"keras.layers.Dropout({_DROPOUT})"
    )


def _normalization_places(model):
    _refuse_layers(
        model,
        keras.layers.BatchNormalization,
        "the model has batch normalization already",
    )
    return models.exact(models.hidden(model))


def _batch_normalization(model):
    return models.insert_behind(
        model,
        _normalization_places(model),
        lambda layer: keras.layers.BatchNormalization(momentum=_MOMENTUM),
    )


def _batch_normalization_code(model, epochs):
    return models.insert_code(
        _normalization_places(model),
        f"keras.layers.BatchNormalization(momentum={_MOMENTUM})",
    )


def _patience(epochs):
    return max(3, epochs // 5)


def _early_stopping(epochs):
    return [
        callbacks.EarlyStopping(
            "val_loss", patience=_patience(epochs), restore_best_weights=True
        )
    ]


def _early_stopping_code(model, epochs):
    arguments = f'"val_loss", patience={_patience(epochs)}, restore_best_weights=True'
    return {
        "imports": "from keras_strategies.callbacks import EarlyStopping",
        "callbacks": f"callbacks += [EarlyStopping({arguments})]",
    }


def _needs_crossentropy(model):
    name, _ = models.loss_of(model)
    if "crossentropy" not in name:
        refuse(f"the loss of the model is no cross-entropy but {name}")


def _label_smoothing():
    return [callbacks.LabelSmoothingScheduler({0: _SMOOTHING})]


def _residual_branches(model):
    """Paths of the layers at the end of residual branches, in front of an Add."""
    before: dict[int, set[int]] = {id(None): set()}  # ids of all calls before one
    found = []
    for call in models.graph_of(model).calls:
        if call.is_entry:
            continue
        parents = [tensor.producer for tensor in call.inputs]
        ids = {id(parent) for parent in parents}
        before[id(call)] = ids.union(*(before[i] for i in ids))
        if isinstance(call.operation, keras.layers.Add) and len(parents) == 2:
            # The branch is the side with more calls before it.
            branch = max(parents, key=lambda parent: len(before[id(parent)]))
            if branch is not None and isinstance(branch.operation, keras.layers.Layer):
                found.append(branch.path)
    return models.exact(found) if found else refuse("the model has no residual block")


def _stochastic_depth(model):
    from keras_strategies import layers

    return models.insert_behind(
        model,
        _residual_branches(model),
        lambda layer: layers.StochasticDepth(_DROP_PATH),
    )


def _stochastic_depth_code(model, epochs):
    return models.insert_code(
        _residual_branches(model), f"layers.StochasticDepth({_DROP_PATH})"
    )


def _ema():
    return [callbacks.WeightAveraging("ema", decay=0.99)]


def _swa_start(epochs):
    return int(0.6 * epochs)


def _swa(epochs):
    return [callbacks.WeightAveraging("swa", start_epoch=_swa_start(epochs))]


def _swa_code(model, epochs):
    start = _swa_start(epochs)
    return {
        "imports": "from keras_strategies.callbacks import WeightAveraging",
        "callbacks": f'callbacks += [WeightAveraging("swa", start_epoch={start})]',
    }


def _no_batch_normalization(model):
    _refuse_layers(
        model,
        keras.layers.BatchNormalization,
        "averaged weights need other statistics of batch normalization",
    )


def _sam(model):
    return optimizers.SharpnessAware(model, rho=0.05)


# `SharpnessAware` wraps the model, so that it needs a compilation of its own.
_SAM_CODE = """
config = model.get_compile_config()
model = optimizers.SharpnessAware(model, rho=0.05)
model.compile_from_config(config)
"""


def strategies() -> list[Strategy]:
    """The strategies of this file."""
    return [*_of_the_model(), *_of_the_training(), *_of_the_weights()]


def _of_the_model() -> list[Strategy]:
    """Penalties and layers."""
    return [
        Strategy(
            "l1",
            model=_l1,
            why="a penalty on the size of weights, which drives many of them to zero",
            source="Tibshirani, 1996, Regression Shrinkage and Selection via the Lasso",
            group="penalty",
            code=_penalty_code("L1(1e-4)"),
        ),
        Strategy(
            "l2",
            model=_l2,
            why="a penalty on the squares of weights, which keeps them small",
            source="Krogh and Hertz, 1991, A Simple Weight Decay Can Improve "
            "Generalization",
            group="penalty",
            code=_penalty_code("L2(1e-3)"),
        ),
        Strategy(
            "dropout",
            model=_dropout,
            why="drops units at random, so that none relies on another",
            source="Srivastava et al., 2014, Dropout",
            code=_dropout_code,
        ),
        Strategy(
            "batch_normalization",
            model=_batch_normalization,
            why="normalizes hidden outputs over the batch, which steadies training",
            source="Ioffe and Szegedy, 2015, https://arxiv.org/abs/1502.03167",
            code=_batch_normalization_code,
        ),
        Strategy(
            "stochastic_depth",
            model=_stochastic_depth,
            why="drops residual branches at random, one decision a sample",
            source="Huang et al., 2016, https://arxiv.org/abs/1603.09382",
            code=_stochastic_depth_code,
        ),
    ]


def _of_the_training() -> list[Strategy]:
    """Labels, and the end of the training."""
    return [
        Strategy(
            "early_stopping",
            callbacks=_early_stopping,
            why="stops when validation gets no better and takes the best epoch",
            source="Prechelt, 1998, Early Stopping - but when?",
            code=_early_stopping_code,
        ),
        Strategy(
            "label_smoothing",
            model=_needs_crossentropy,
            callbacks=_label_smoothing,
            why="softer targets keep the network from growing sure of wrong labels",
            source="Szegedy et al., 2016, https://arxiv.org/abs/1512.00567",
            group="labels",
            code={
                "imports": "from keras_strategies.callbacks import "
                "LabelSmoothingScheduler",
                "callbacks": "callbacks += [LabelSmoothingScheduler({0: 0.1})]",
            },
        ),
    ]


def _of_the_weights() -> list[Strategy]:
    """Averages, and minima that are flat."""
    return [
        Strategy(
            "ema",
            callbacks=_ema,
            why="ends with a moving average of the weights, steadier than any of them",
            source="Polyak and Juditsky, 1992",
            group="averaging",
            code={
                "imports": "from keras_strategies.callbacks import WeightAveraging",
                "callbacks": 'callbacks += [WeightAveraging("ema", decay=0.99)]',
            },
        ),
        Strategy(
            "swa",
            model=_no_batch_normalization,
            callbacks=_swa,
            why="ends with the mean of the weights of the last epochs",
            source="Izmailov et al., 2018, https://arxiv.org/abs/1803.05407",
            group="averaging",
            code=_swa_code,
        ),
        Strategy(
            "sam",
            model=_sam,
            why="looks for minima whose whole neighbourhood is low; two passes a step",
            source="Foret et al., 2021, https://arxiv.org/abs/2010.01412",
            code={
                "imports": "from keras_strategies import optimizers",
                "model": _SAM_CODE,
            },
        ),
    ]
