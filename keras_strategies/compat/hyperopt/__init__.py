"""hyperopt's names over the searches of this package.

Change the imports of a script written for hyperopt; its trials then have the results,
plots, resume and processes of `Tuner`.

Example:

```python
from keras_strategies.compat.hyperopt import STATUS_OK, Trials, fmin, hp, tpe

def objective(params):
    return {"loss": (params["x"] - 1) ** 2, "status": STATUS_OK}

trials = Trials()
best = fmin(
    objective,
    {"x": hp.uniform("x", -3, 3)},
    algo=tpe.suggest,
    max_evals=5,
    trials=trials,
    show_progressbar=False,
)
assert best.keys() == {"x"}
print(trials.report())
```

Differences from the original: no combination is tried twice, so that a small space may
end before `max_evals`; `tpe` is Optuna's, `anneal` is aging evolution, whose steps
become smaller as well; the same seed draws other values of the same distributions.
`SparkTrials` and `MongoTrials` do not exist: use `fmin(workers=)`, or a `Tuner` with a
storage. Needs the extra `tuning`.

Reference: Bergstra et al., 2013, [Making a Science of Model
Search](https://proceedings.mlr.press/v28/bergstra13.html).
"""

from keras_strategies.compat.hyperopt import hp, scope
from keras_strategies.compat.hyperopt._algorithms import anneal, rand, tpe
from keras_strategies.compat.hyperopt._fmin import fmin, no_progress_loss
from keras_strategies.compat.hyperopt._nodes import DuplicateLabelError, space_eval
from keras_strategies.compat.hyperopt._trials import (
    STATUS_FAIL,
    STATUS_OK,
    AllTrialsFailed,
    Trials,
)

__all__ = [
    "STATUS_FAIL",
    "STATUS_OK",
    "AllTrialsFailed",
    "DuplicateLabelError",
    "Trials",
    "anneal",
    "fmin",
    "hp",
    "no_progress_loss",
    "rand",
    "scope",
    "space_eval",
    "tpe",
]
