"""Optimization: optimizers, learning rates, clipping, batch sizes."""

import functools

import keras

from keras_strategies import callbacks, optimizers
from keras_strategies.ablation._catalog import models
from keras_strategies.ablation._catalog.models import refuse
from keras_strategies.ablation._strategy import Strategy

# Optimizers that divide by the size of past gradients: their rates are alike.
_ADAPTIVE = (
    *(keras.optimizers.Adam, keras.optimizers.Adamax, keras.optimizers.Nadam),
    *(keras.optimizers.RMSprop, optimizers.RAdam, optimizers.AdaBelief),
)
_DECAY = 0.01


def _adaptive_rate(optimizer):
    """A rate for an adaptive optimizer: that of the baseline if it is one."""
    return models.rate(optimizer) if isinstance(optimizer, _ADAPTIVE) else 1e-3


def _plain_rate(optimizer):
    """A rate for SGD with momentum."""
    is_sgd = isinstance(optimizer, keras.optimizers.SGD)
    return models.rate(optimizer) if is_sgd else 0.02


def _settings(name, optimizer):
    """Arguments of the optimizer of this name that stand in for the baseline's."""
    return {
        "momentum": lambda: {
            "learning_rate": _plain_rate(optimizer),
            "momentum": 0.9,
            "nesterov": True,
        },
        "rmsprop": lambda: {"learning_rate": _adaptive_rate(optimizer)},
        "adagrad": lambda: {"learning_rate": 10 * _adaptive_rate(optimizer)},
        "adamw": lambda: {
            "learning_rate": _adaptive_rate(optimizer),
            "weight_decay": _DECAY,
        },
        "radam": lambda: {"learning_rate": _adaptive_rate(optimizer)},
    }[name]()


_CLASSES = {
    "momentum": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adamw": keras.optimizers.AdamW,
    "radam": optimizers.RAdam,
}


def _replaced(optimizer, name):
    cls = _CLASSES[name]
    same = isinstance(optimizer, cls)
    if same and (name != "momentum" or optimizer.momentum):
        refuse(f"the optimizer of the model is {cls.__name__} already")
    return cls(**_settings(name, optimizer))


def _replaced_code(model, epochs, name):
    optimizer = models.optimizer_of(model)
    cls = _CLASSES[name]
    own = cls.__module__.startswith("keras_strategies")
    module = "optimizers" if own else "keras.optimizers"
    arguments = ", ".join(f"{k}={v!r}" for k, v in _settings(name, optimizer).items())
    return {
        "imports": "from keras_strategies import optimizers" if own else "",
        "optimizer": f"optimizer = {module}.{cls.__name__}({arguments})",
    }


def _with(optimizer, name, value):
    """The same optimizer with one argument changed."""
    config = optimizer.get_config()
    if config.get(name):
        refuse(f"the optimizer of the model has {name}={config[name]:g} already")
    if name.endswith("clipnorm") and any(config.get(n) for n in _CLIPS):
        refuse("the optimizer of the model clips gradients already")
    return type(optimizer).from_config({**config, name: value})


_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")


def _with_code(name, value):
    return {
        "optimizer": "optimizer = type(optimizer).from_config(\n"
        f"    {{**optimizer.get_config(), {name!r}: {value}}}\n)"
    }


def _adaptive_clip(optimizer):
    return optimizers.GradientTransform(optimizer, [optimizers.AdaptiveClip(0.01)])


_ADAPTIVE_CLIP_CODE = {
    "imports": "from keras_strategies import optimizers",
    "optimizer": "optimizer = optimizers.GradientTransform(\n"
    "    optimizer, [optimizers.AdaptiveClip(0.01)]\n)",
}


def _scheduler_arguments(name, epochs):
    """Arguments of the scheduler of this name for a training of this length."""
    if name == "step_decay":
        return "StepDecayScheduler", {
            "decay_steps": max(1, epochs // 3),
            "decay_rate": 0.5,
        }
    if name == "exponential_decay":
        # To a twentieth at the end.
        return "ExponentialDecayScheduler", {
            "decay_rate": round(0.05 ** (1 / epochs), 4)
        }
    if name == "cosine_decay":
        return "CosineDecayScheduler", {"decay_steps": epochs}
    # A step decay whose steps change nothing.
    warmup = max(1, epochs // 10)
    return "StepDecayScheduler", {"decay_rate": 1.0, "warmup_steps": warmup}


def _scheduler(epochs, name):
    cls, arguments = _scheduler_arguments(name, epochs)
    return [getattr(callbacks, cls)(**arguments)]


def _scheduler_code(model, epochs, name):
    cls, arguments = _scheduler_arguments(name, epochs)
    text = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return {
        "imports": f"from keras_strategies.callbacks import {cls}",
        "callbacks": f"callbacks += [{cls}({text})]",
    }


def _raised(optimizer):
    """Three times the rate: the peak of the cycle."""
    config = optimizer.get_config()
    peak = 3 * models.rate(optimizer)
    return type(optimizer).from_config({**config, "learning_rate": peak})


def _one_cycle():
    return [callbacks.OneCycleScheduler(cycle_momentum=False)]


def _one_cycle_code(model, epochs):
    peak = 3 * models.rate(models.optimizer_of(model))
    return {
        "imports": "from keras_strategies.callbacks import OneCycleScheduler",
        "optimizer": "optimizer = type(optimizer).from_config(\n"
        f'    {{**optimizer.get_config(), "learning_rate": {peak:.6g}}}\n)',
        "callbacks": "callbacks += [OneCycleScheduler(cycle_momentum=False)]",
    }


def strategies() -> list[Strategy]:
    """The strategies of this file."""
    return [*_schedules(), *_clipping(), *_optimizers(), *_batch_sizes()]


def _schedules():
    texts = {
        "step_decay": "halves the learning rate after each third of the training",
        "exponential_decay": "lowers the learning rate a little after each epoch",
        "cosine_decay": "lowers the learning rate along half a cosine wave",
        "warmup": "lets the learning rate rise over the first tenth of the training",
    }
    found = [
        Strategy(
            name,
            model=models.needs_plain_rate,
            callbacks=functools.partial(_scheduler, name=name),
            why=why,
            source="Goyal et al., 2017, https://arxiv.org/abs/1706.02677"
            if name == "warmup"
            else "Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983"
            if name == "cosine_decay"
            else "Robbins and Monro, 1951, A Stochastic Approximation Method",
            group="schedule",
            code=functools.partial(_scheduler_code, name=name),
        )
        for name, why in texts.items()
    ]
    one_cycle = Strategy(
        "one_cycle",
        model=models.needs_plain_rate,
        optimizer=_raised,
        callbacks=_one_cycle,
        why="raises the learning rate to three times its value and lowers it to none",
        source="Smith and Topin, 2017, https://arxiv.org/abs/1708.07120",
        group="schedule",
        code=_one_cycle_code,
    )
    return [*found, one_cycle]


def _clipping():
    return [
        Strategy(
            "clip_norm",
            optimizer=functools.partial(_with, name="global_clipnorm", value=1.0),
            why="scales down gradients whose norm is above 1, so that no batch ruins "
            "the weights",
            source="Pascanu et al., 2013, https://arxiv.org/abs/1211.5063",
            group="clipping",
            code=_with_code("global_clipnorm", 1.0),
        ),
        Strategy(
            "adaptive_clip",
            optimizer=_adaptive_clip,
            why="clips the gradient of each unit by the size of its weights",
            source="Brock et al., 2021, https://arxiv.org/abs/2102.06171",
            group="clipping",
            code=_ADAPTIVE_CLIP_CODE,
        ),
    ]


def _optimizers():
    texts = {
        "momentum": (
            "SGD with Nesterov momentum, which adds up steps of one direction",
            "Sutskever et al., 2013",
        ),
        "rmsprop": (
            "steps divided by the size of recent gradients",
            "Tieleman and Hinton, 2012",
        ),
        "adagrad": (
            "steps divided by the size of all past gradients",
            "Duchi et al., 2011",
        ),
        "adamw": (
            "Adam with weight decay apart from the gradient",
            "Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101",
        ),
        "radam": (
            "Adam that waits until its second moments can be relied on",
            "Liu et al., 2020, https://arxiv.org/abs/1908.03265",
        ),
    }
    found = [
        Strategy(
            name,
            optimizer=functools.partial(_replaced, name=name),
            why=why,
            source=source,
            group="optimizer",
            code=functools.partial(_replaced_code, name=name),
        )
        for name, (why, source) in texts.items()
    ]
    decay = Strategy(
        "weight_decay",
        optimizer=functools.partial(_with, name="weight_decay", value=_DECAY),
        why="shrinks all weights a little in each step",
        source="Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101",
        group="optimizer",
        code=_with_code("weight_decay", _DECAY),
    )
    return [*found, decay]


def _batch_sizes():
    texts = {
        16: ("small_batches", "more and noisier steps an epoch"),
        128: ("large_batches", "fewer and steadier steps an epoch"),
    }
    return [
        Strategy(
            name,
            fit={"batch_size": size},
            why=why,
            source="Keskar et al., 2017, https://arxiv.org/abs/1609.04836",
            group="batch_size",
            code={},
        )
        for size, (name, why) in texts.items()
    ]
