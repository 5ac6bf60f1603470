"""Who searches in `scripts/benchmark tuning`: this package and its peers."""

import functools
import tempfile
import time

import keras_tuner
import numpy as np
import optuna
from _tuning_problems import EPOCHS, space_of

from keras_strategies.tuning.oracles._registry import choose_algorithm, make_oracle

OBJECTIVE = keras_tuner.Objective("loss", "min")
KINDS = keras_tuner.engine.hyperparameters


def with_oracle(oracle, evaluate, trials):
    """Values and times of the proposals of an oracle of KerasTuner's or ours."""
    found, seconds = [], []
    budget = trials * EPOCHS if hasattr(oracle, "max_epochs") else float("inf")
    with tempfile.TemporaryDirectory() as folder:
        oracle._set_project_dir(folder, "search")
        oracle.verbose = oracle._display.verbose = 0
        while len(found) < trials or budget < float("inf"):
            start = time.process_time()
            trial = oracle.create_trial("tuner0")
            seconds.append(time.process_time() - start)
            if trial.status != "RUNNING" or budget <= 0:
                break
            values = trial.hyperparameters.values
            budget -= values.get("tuner/epochs", 0)
            found.append(evaluate(values))
            oracle.update_trial(trial.trial_id, {"loss": found[-1]})
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
    return found, seconds


def keras_tuner_search(cls, declare, evaluate, trials, seed, **options):
    settings = {"objective": OBJECTIVE, "seed": seed, **options}
    if cls is not keras_tuner.oracles.HyperbandOracle:
        settings["max_trials"] = trials
    oracle = cls(hyperparameters=space_of(declare), **settings)
    return with_oracle(oracle, evaluate, trials)


def our_search(name, declare, evaluate, trials, seed):
    space = space_of(declare)
    if name == "auto":
        name, _ = choose_algorithm(space.space, trials, 1)
    arguments = {"objective": OBJECTIVE, "max_trials": trials, "seed": seed}
    oracle = make_oracle(name, {}, {**arguments, "hyperparameters": space})
    return with_oracle(oracle, evaluate, trials)


def optuna_search(declare, evaluate, trials, seed, sampler="TPESampler"):
    """A sampler of Optuna's own with its defaults, asked for what is active."""
    make = getattr(optuna.samplers, sampler)
    study = optuna.create_study(sampler=make(seed=seed))
    found, seconds = [], []
    for _ in range(trials):
        start = time.process_time()
        trial, values = study.ask(), {}
        for hp in space_of(declare).space:
            if all(c.is_active(values) for c in hp.conditions):
                values[hp.name] = _suggest(trial, hp)
        seconds.append(time.process_time() - start)
        found.append(evaluate(values))
        study.tell(trial, found[-1])
    return found, seconds


def _suggest(trial, hp):
    if isinstance(hp, KINDS.Choice):
        return trial.suggest_categorical(hp.name, hp.values)
    log = hp.sampling == "log"
    if isinstance(hp, KINDS.Int):
        return trial.suggest_int(hp.name, hp.min_value, hp.max_value, log=log)
    return trial.suggest_float(hp.name, hp.min_value, hp.max_value, log=log)


def hyperopt_search(declare, evaluate, trials, seed):
    """hyperopt's TPE with its defaults, over the space with its conditions."""
    import hyperopt

    found, evaluating = [], []

    def objective(drawn):
        begin = time.process_time()
        found.append(evaluate(_flat(drawn)))
        evaluating.append(time.process_time() - begin)
        return found[-1]

    start = time.process_time()
    hyperopt.fmin(
        objective,
        _hyperopt_level(space_of(declare).space),
        algo=hyperopt.tpe.suggest,
        max_evals=trials,
        rstate=np.random.default_rng(seed),
        show_progressbar=False,
        verbose=False,
    )
    proposing = time.process_time() - start - sum(evaluating)
    return found, [proposing / trials] * trials


def _hyperopt_level(space, parent=None, value=None):
    """What stands right below a value of `parent`, as hyperopt's expressions."""
    from hyperopt import hp as h
    from hyperopt.pyll import scope

    level = {}
    for hp in space:
        above = hp.conditions[-1] if hp.conditions else None
        if (above and above.name) != parent or (above and value not in above.values):
            continue
        label = hp.name if parent is None else f"{hp.name}@{value}"
        below = any(o.conditions and o.conditions[-1].name == hp.name for o in space)
        if isinstance(hp, KINDS.Choice) or below:
            values = getattr(hp, "values", None) or range(
                hp.min_value, hp.max_value + 1
            )
            level[hp.name] = h.choice(
                label, [(v, _hyperopt_level(space, hp.name, v)) for v in values]
            )
            continue
        log, low, high = hp.sampling == "log", hp.min_value, hp.max_value
        if log:
            low, high = np.log(low), np.log(high)
        if isinstance(hp, KINDS.Int):
            draw = h.qloguniform if log else h.quniform
            level[hp.name] = scope.int(draw(label, low, high, 1))
        else:
            level[hp.name] = (h.loguniform if log else h.uniform)(label, low, high)
    return level


def nevergrad_search(declare, evaluate, trials, seed):
    """nevergrad's NGOpt, over all hyperparameters, active or not."""
    import nevergrad

    space = space_of(declare).space
    kinds = nevergrad.p
    parts = {}
    for hp in space:
        if isinstance(hp, KINDS.Choice):
            parts[hp.name] = kinds.Choice(hp.values)
        elif hp.sampling == "log":
            parts[hp.name] = kinds.Log(lower=hp.min_value, upper=hp.max_value)
        else:
            parts[hp.name] = kinds.Scalar(lower=hp.min_value, upper=hp.max_value)
        if isinstance(hp, KINDS.Int):
            parts[hp.name].set_integer_casting()
    instrumentation = kinds.Dict(**parts)
    instrumentation.random_state.seed(seed % 2**32)
    optimizer = nevergrad.optimizers.NGOpt(instrumentation, budget=trials)
    found, seconds = [], []
    for _ in range(trials):
        start = time.process_time()
        candidate = optimizer.ask()
        asked = time.process_time() - start
        found.append(evaluate(_active(space, candidate.value)))
        start = time.process_time()
        optimizer.tell(candidate, found[-1])
        seconds.append(asked + time.process_time() - start)
    return found, seconds


def skopt_search(declare, evaluate, trials, seed):
    """scikit-optimize's Gaussian process, over all hyperparameters."""
    import skopt

    space, dimensions = space_of(declare).space, []
    for hp in space:
        if isinstance(hp, KINDS.Choice):
            dimensions.append(skopt.space.Categorical(hp.values))
            continue
        prior = "log-uniform" if hp.sampling == "log" else "uniform"
        kind = "Integer" if isinstance(hp, KINDS.Int) else "Real"
        make = getattr(skopt.space, kind)
        dimensions.append(make(hp.min_value, hp.max_value, prior=prior))
    optimizer = skopt.Optimizer(dimensions, random_state=seed)
    found, seconds = [], []
    for _ in range(trials):
        start = time.process_time()
        asked = optimizer.ask()
        values = {hp.name: value for hp, value in zip(space, asked, strict=True)}
        proposing = time.process_time() - start
        found.append(evaluate(_active(space, values)))
        start = time.process_time()
        optimizer.tell(asked, found[-1])
        seconds.append(proposing + time.process_time() - start)
    return found, seconds


def _active(space, values):
    """The values of what is active, of a peer that knows no conditions."""
    active = {}
    for hp in space:
        if all(condition.is_active(active) for condition in hp.conditions):
            active[hp.name] = values[hp.name]
    return active


def _flat(drawn):
    """`{name: value}` of what `_hyperopt_level` draws."""
    values = {}
    for name, found in drawn.items():
        if isinstance(found, tuple):
            values[name], below = found
            values.update(_flat(below))
        else:
            values[name] = found
    return values


ORACLES = keras_tuner.oracles
#: What a peer needs that this package does not.
PACKAGES = {
    "hyperopt TPE": "hyperopt",
    "nevergrad NGOpt": "nevergrad",
    "Optuna CMA-ES": "cmaes",
    "Optuna GP": "torch",
    "scikit-optimize GP": "skopt",
}
METHODS = {
    "KerasTuner random": functools.partial(
        keras_tuner_search, ORACLES.RandomSearchOracle
    ),
    "KerasTuner Hyperband": functools.partial(
        keras_tuner_search, ORACLES.HyperbandOracle, max_epochs=EPOCHS
    ),
    "Optuna TPE": optuna_search,
    "Optuna CMA-ES": functools.partial(optuna_search, sampler="CmaEsSampler"),
    "Optuna GP": functools.partial(optuna_search, sampler="GPSampler"),
    "hyperopt TPE": hyperopt_search,
    "nevergrad NGOpt": nevergrad_search,
    "scikit-optimize GP": skopt_search,
    "ours, default": functools.partial(our_search, "auto"),
    "ours, bayesian": functools.partial(our_search, "bayesian"),
    "ours, tpe": functools.partial(our_search, "tpe"),
    "ours, evolution": functools.partial(our_search, "evolution"),
    "KerasTuner Bayesian": functools.partial(
        keras_tuner_search, ORACLES.BayesianOptimizationOracle
    ),
}
