"""Between KerasTuner's hyperparameters and Optuna's studies."""

import contextlib
import hashlib
import warnings

from keras_tuner.engine import hyperparameters as kinds

from keras_strategies._internal.optional import require
from keras_strategies.tuning._space import space as _space

SAMPLERS = ("tpe", "gp", "cmaes", "nsga2", "random")


def sampler(name, seed, max_trials, parallel=False):
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "tpe":
            startup = min(10, max(4, (max_trials or 40) // 4))
            return optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=startup,
                multivariate=True,
                group=True,
                # What runs elsewhere counts as bad, so that two do not try the same.
                constant_liar=parallel,
            )
        if name == "gp":
            require("torch", '`sampler="gp"`')
            return optuna.samplers.GPSampler(seed=seed)
        if name == "cmaes":
            require("cmaes", '`sampler="cmaes"`')
            return optuna.samplers.CmaEsSampler(seed=seed)
        if name == "nsga2":
            size = min(50, max(4, (max_trials or 200) // 4))
            return optuna.samplers.NSGAIISampler(seed=seed, population_size=size)
        return optuna.samplers.RandomSampler(seed=seed)


def study(sampler, directions, **storage):
    import optuna

    with logging(optuna.logging.WARNING):
        return optuna.create_study(sampler=sampler, directions=directions, **storage)


@contextlib.contextmanager
def logging(level):
    """Optuna says no less than `level` in this context."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(level)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextlib.contextmanager
def quiet_sampling():
    """CMA-ES and GP say for each conditional value that it is drawn; not here."""
    import optuna

    with warnings.catch_warnings(), logging(optuna.logging.ERROR):
        warnings.simplefilter("ignore", UserWarning)
        yield


def state(name):
    import optuna

    return optuna.trial.TrialState[name]


def key(hp):
    """Name of `hp` in a study: one for each scope in which the name stands."""
    if not hp.conditions:
        return hp.name
    conditions = [(c.name, list(c.values)) for c in hp.conditions]
    digest = hashlib.sha256(repr(conditions).encode()).hexdigest()[:8]
    return f"{hp.name}@{digest}"


def _is_index(hp):
    """Whether the study holds the position of the value in `_space.options`."""
    if isinstance(hp, kinds.Choice):
        return _space.is_numeric(hp)
    stepped = isinstance(hp, kinds.Float | kinds.Int) and hp.step is not None
    return stepped and (isinstance(hp, kinds.Float) or hp.sampling != "linear")


def _ordered(hp):
    found = hp.values if isinstance(hp, kinds.Choice) else _space.options(hp)
    return sorted(found)


def distribution(hp):
    """The distribution of Optuna that is nearest to `hp`."""
    import optuna.distributions as d

    if _is_index(hp):
        return d.IntDistribution(0, len(_ordered(hp)) - 1)
    if isinstance(hp, kinds.Choice | kinds.Boolean):
        return d.CategoricalDistribution(tuple(hp.values))
    if hp.sampling == "reverse_log":
        return d.FloatDistribution(0.0, 1.0)
    log = hp.sampling == "log"
    if isinstance(hp, kinds.Int):
        step = 1 if log or hp.step is None else hp.step
        # Optuna lowers a maximum that no step reaches, with a warning.
        high = hp.max_value - (hp.max_value - hp.min_value) % step
        return d.IntDistribution(hp.min_value, high, log=log, step=step)
    return d.FloatDistribution(hp.min_value, hp.max_value, log=log)


def suggest(trial, hp):
    """Asks Optuna's `trial` for what the study holds of `hp`."""
    import optuna.distributions as d

    found, name = distribution(hp), key(hp)
    if isinstance(found, d.CategoricalDistribution):
        return trial.suggest_categorical(name, found.choices)
    if isinstance(found, d.IntDistribution):
        return trial.suggest_int(
            name, found.low, found.high, step=found.step, log=found.log
        )
    return trial.suggest_float(name, found.low, found.high, log=found.log)


def value(hp, raw):
    """The value of `hp` for what Optuna suggests."""
    if _is_index(hp):
        return _ordered(hp)[raw]
    if isinstance(hp, kinds.Choice | kinds.Boolean):
        return raw
    if hp.sampling == "reverse_log":
        return hp.prob_to_value(min(raw, 1 - 1e-9))
    return raw


def raw(hp, value):
    """What the study holds for a value of `hp`."""
    if _is_index(hp):
        return _ordered(hp).index(value)
    numeric = not isinstance(hp, kinds.Choice | kinds.Boolean)
    if numeric and hp.sampling == "reverse_log":
        return hp.value_to_prob(value)
    return value


def active(space, values):
    """The searched hyperparameters that are active in `values`."""
    for hp in space:
        fixed = isinstance(hp, kinds.Fixed)
        if not fixed and all(c.is_active(values) for c in hp.conditions):
            known = hp.name in values and _space.is_legal(hp, values[hp.name])
            if known:
                yield hp


def parameters(hyperparameters, values):
    return {
        key(hp): raw(hp, values[hp.name])
        for hp in active(hyperparameters.space, values)
    }


def adopt(study, hyperparameters, values, results):
    """Adds a completed trial that the study did not propose."""
    import optuna

    found = list(active(hyperparameters.space, values))
    study.add_trial(
        optuna.trial.create_trial(
            params={key(hp): raw(hp, values[hp.name]) for hp in found},
            distributions={key(hp): distribution(hp) for hp in found},
            values=results,
        )
    )


def dump(study):
    """The trials of a study as JSON values."""
    from optuna.distributions import distribution_to_json

    return [
        {
            "state": trial.state.name,
            "params": trial.params,
            "distributions": {
                name: distribution_to_json(found)
                for name, found in trial.distributions.items()
            },
            "values": trial.values,
            "intermediate": sorted(trial.intermediate_values.items()),
            "user": trial.user_attrs,
            "system": trial.system_attrs,
        }
        for trial in study.get_trials(deepcopy=False)
    ]


def load(study, saved, ended):
    """Fills an empty study; returns the trials under way by KerasTuner's trial id."""
    import optuna
    from optuna.distributions import json_to_distribution

    live = {}
    for item in saved:
        distributions = {
            k: json_to_distribution(v) for k, v in item["distributions"].items()
        }
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState[item["state"]],
            values=item["values"],
            params=item["params"],
            distributions=distributions,
            user_attrs=item["user"],
            system_attrs=item["system"],
            intermediate_values=dict(item["intermediate"]),
        )
        study.add_trial(trial)
        last = study.get_trials(deepcopy=False)[-1]
        trial_id = item["user"].get("trial_id")
        if (
            item["state"] == "RUNNING"
            and trial_id is not None
            and trial_id not in ended
        ):
            live[trial_id] = optuna.trial.Trial(study, last._trial_id)
    return live
