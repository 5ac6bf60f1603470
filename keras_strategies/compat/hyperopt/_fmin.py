"""hyperopt's `fmin` over `Tuner`."""

import math
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.compat.hyperopt import _algorithms, _nodes
from keras_strategies.compat.hyperopt._trials import (
    JOB_STATE_DONE,
    JOB_STATE_ERROR,
    STATUS_FAIL,
    STATUS_OK,
    Trials,
)
from keras_strategies.tuning import Tuner
from keras_strategies.tuning._space import Space
from keras_strategies.tuning.search import (
    FailedTrialError,
    FatalError,
    make_objective,
)

_STATUSES = ("new", "running", "suspended", STATUS_OK, STATUS_FAIL)


class ObjectiveTuner(Tuner):
    """A tuner whose trials call the objective of `fmin`.

    Args:
        function: The objective.
        space: The space.
        catches: Whether an error of the objective fails its trial only.
        **kwargs: Arguments of `Tuner`.
    """

    def __init__(
        self,
        function: Callable[[Any], Any],
        space: _nodes.Space,
        catches: bool = False,
        **kwargs: Any,
    ) -> None:
        self.function, self.space, self.catches = function, space, catches
        self.results_by_id: dict[str, dict[str, Any]] = {}
        self.error: Exception | None = None
        self.after_trial: Callable[[], bool] | None = None
        hyperparameters = Space()
        _nodes.declare_all(space, hyperparameters)
        # As a model declares them: what a trial does not ask for is not its value.
        hyperparameters.is_explored = True
        super().__init__(
            None,
            make_objective("loss", "min"),
            hyperparameters=hyperparameters,
            **kwargs,
        )

    def run_trial(self, trial: Any, *args: Any, **kwargs: Any) -> Any:
        values = _nodes.draw(self.space, trial.hyperparameters)
        try:
            result = as_result(self.function(values))
        except Exception as error:
            if self.catches:
                raise
            # hyperopt ends with it; as itself it would only fail the trial.
            self.error = error
            raise FatalError(str(error)) from error
        self.results_by_id[trial.trial_id] = result
        if result["status"] != STATUS_OK:
            raise FailedTrialError(f"status {result['status']}")
        numbers = {
            name: float(value)
            for name, value in result.items()
            if isinstance(value, int | float | np.number)
        }
        return {**numbers, "loss": float(result["loss"])}

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        if self.after_trial is not None and self.after_trial():
            self.oracle.stop_reason = "early stop"


def as_result(value: Any) -> dict[str, Any]:
    """Checks what an objective has returned; a number is the loss."""
    if not isinstance(value, Mapping):
        return {"loss": float(value), "status": STATUS_OK}
    status = value.get("status")
    fix = 'Return {"loss": ..., "status": ...}.'
    checks.choice("status", status, _STATUSES, fix=fix)
    if status == STATUS_OK and "loss" not in value:
        checks.fail("A result with status 'ok' must have a loss", result=dict(value))
    return dict(value)


def fmin(
    fn: Callable[[Any], Any],
    space: Any,
    algo: Any = None,
    max_evals: int | None = None,
    timeout: float | None = None,
    loss_threshold: float | None = None,
    trials: Trials | None = None,
    rstate: "np.random.Generator | int | None" = None,
    points_to_evaluate: Sequence[Mapping[str, Any]] | None = None,
    catch_eval_exceptions: bool = False,
    verbose: bool = True,
    return_argmin: bool = True,
    show_progressbar: bool = True,
    early_stop_fn: Callable[..., tuple[bool, Any]] | None = None,
    workers: int = 1,
    **others: Any,
) -> dict[str, Any] | None:
    """Minimizes a function over a space, as hyperopt's `fmin`.

    For scripts written for hyperopt: the trials are those of a `Tuner`, with its
    algorithms, results and plots (`trials.report()`), its resume
    (`Trials(directory=)`) and its processes (`workers=`). The same seed draws other
    values than hyperopt, from the same distributions.

    Args:
        fn: Function of a value of the space that returns the loss, or a dict with
            `"loss"` and `"status"`.
        space: Nodes of `hp` in dicts, lists and tuples.
        algo: `tpe.suggest`, `rand.suggest`, `anneal.suggest`, a `functools.partial` of
            the first, or the name of an algorithm of `Tuner`. Defaults to `None`, TPE.
        max_evals: Number of trials, those from before included. Defaults to `None`, no
            limit, which needs `timeout`, `loss_threshold` or `early_stop_fn`.
        timeout: Seconds after which no further trial starts. Defaults to `None`.
        loss_threshold: Loss at which to stop. Defaults to `None`.
        trials: Where the trials go. Defaults to `None`.
        rstate: Generator of NumPy, or an integer. Defaults to `None`.
        points_to_evaluate: Values by label to try first; a choice as its index.
            Defaults to `None`.
        catch_eval_exceptions: Whether an error of `fn` fails its trial only. Defaults
            to `False`: it ends `fmin`.
        verbose: Whether anything is printed. Defaults to `True`.
        return_argmin: Whether to return the best values. Defaults to `True`.
        show_progressbar: Whether the progress is printed. Defaults to `True`.
        early_stop_fn: Function of the trials that returns whether to stop and its
            further arguments in the next call, such as `no_progress_loss(10)`.
            Defaults to `None`.
        workers: Number of processes; more than 1 need a function that can be pickled.
            Defaults to `1`.
        **others: `max_queue_len`, `allow_trials_fmin`, `pass_expr_memo_ctrl` and
            `trials_save_file` of hyperopt are refused with the reason.

    Returns:
        The best values by label, a choice as its index; `None` without
        `return_argmin`.

    Raises:
        AllTrialsFailed: If no trial has a loss.
        DuplicateLabelError: If two nodes have one label.
        ValueError: If an argument cannot be used.

    Example:

    ```python
    from keras_strategies.compat.hyperopt import fmin, hp, tpe

    space = {"x": hp.uniform("x", -2, 2), "shape": hp.choice("shape", ["v", "u"])}

    def loss(params):
        return abs(params["x"]) if params["shape"] == "v" else params["x"] ** 2

    best = fmin(loss, space, tpe.suggest, max_evals=6, show_progressbar=False)
    assert best["shape"] in (0, 1)
    ```
    """
    _refuse_others(others)
    nodes = _nodes.labels(space)
    limits = (max_evals, timeout, loss_threshold, early_stop_fn)
    if all(limit is None for limit in limits):
        checks.fail("`fmin` must have a limit", fix="Pass max_evals.", max_evals=None)
    checks.integer("workers", workers, low=1)
    if workers > 1 and (loss_threshold is not None or early_stop_fn is not None):
        checks.fail(
            "`workers` must be 1 with `loss_threshold` or `early_stop_fn`, which are "
            "asked after each trial",
            workers=workers,
        )
    trials = Trials() if trials is None else trials
    seed = _seed(rstate)
    name, options = _algorithms.algorithm_of(
        _algorithms.tpe.suggest if algo is None else algo, seed or 0
    )
    tuner = ObjectiveTuner(
        fn,
        space,
        catch_eval_exceptions,
        algorithm=name,
        algorithm_options=options,
        max_trials=max_evals or 10**6,
        time_limit=timeout,
        seed=seed,
        directory=_folder(trials),
        project_name=trials.project_name,
    )
    if trials.tuner is not None:
        tuner.results_by_id = trials.tuner.results_by_id
    trials.tuner = tuner
    for point in points_to_evaluate or ():
        tuner.enqueue({nodes[k].name: nodes[k].stored(v) for k, v in point.items()})
    tuner.after_trial = _stopping(trials, nodes, loss_threshold, early_stop_fn)
    _run(tuner, workers, 1 if verbose and show_progressbar else 0)
    _fill(trials, nodes)
    best = trials.argmin  # raises if there is none
    return best if return_argmin else None


def _run(tuner: ObjectiveTuner, workers: int, verbose: int) -> None:
    try:
        if workers > 1:
            tuner.search_parallel(workers, verbose=verbose)
        else:
            tuner.search(verbose=verbose)
    except FatalError:
        if tuner.error is None:
            raise
        raise tuner.error from None
    except RuntimeError:
        # `AllTrialsFailed`, which hyperopt's scripts expect, follows.
        if tuner.oracle.completed_trials() or not tuner.oracle.end_order:
            raise


def _refuse_others(others: Mapping[str, Any]) -> None:
    if others.get("trials_save_file"):
        checks.fail(
            "`trials_save_file` must not be given",
            fix="Trials(directory=...) keeps the trials and goes on after any kill.",
            trials_save_file=others["trials_save_file"],
        )
    ignored = ("trials_save_file", "max_queue_len", "allow_trials_fmin")
    unknown = {k: v for k, v in others.items() if k not in ignored}
    if unknown:
        checks.fail("`fmin` has no such argument here", error=TypeError, **unknown)
    if others.get("max_queue_len", 1) != 1:
        checks.fail(
            "`max_queue_len` must be 1",
            fix="Pass `workers` to run several trials at once.",
            max_queue_len=others["max_queue_len"],
        )


def _seed(rstate: Any) -> int | None:
    if rstate is None or isinstance(rstate, int):
        return rstate
    return int(rstate.integers(2**31))


def _folder(trials: Trials) -> Any:
    if trials.directory is None:
        if trials.temporary is None:
            trials.temporary = tempfile.mkdtemp(prefix="fmin-")
            weakref.finalize(trials, shutil.rmtree, trials.temporary, True)
        return trials.temporary
    return trials.directory


def _stopping(
    trials: Trials,
    nodes: Mapping[str, _nodes.Node],
    loss_threshold: float | None,
    early_stop_fn: Callable[..., tuple[bool, Any]] | None,
) -> Callable[[], bool]:
    arguments: list[Any] = []

    def should_stop() -> bool:
        _fill(trials, nodes)
        losses = [loss for loss in trials.losses() if loss is not None]
        if loss_threshold is not None and losses and min(losses) <= loss_threshold:
            return True
        if early_stop_fn is None:
            return False
        stop, further = early_stop_fn(trials, *arguments)
        arguments[:] = further
        return bool(stop)

    return should_stop


def _fill(trials: Trials, nodes: Mapping[str, _nodes.Node]) -> None:
    """Writes the trials of the tuner as those of hyperopt."""
    oracle = trials.tuner.oracle
    known = {trial["tid"]: trial for trial in trials.trials}
    ended = sorted(oracle.end_order, key=int)
    trials.trials = [
        known.get(int(key)) or _entry(trials.tuner, oracle.trials[key], nodes)
        for key in ended
    ]


def _entry(
    tuner: ObjectiveTuner, trial: Any, nodes: Mapping[str, _nodes.Node]
) -> dict[str, Any]:
    is_done = trial.status == "COMPLETED"
    result = tuner.results_by_id.get(trial.trial_id)
    if result is None:  # of another process, or of one before
        result = {"status": STATUS_OK if is_done else STATUS_FAIL}
        for name, tracker in trial.metrics.metrics.items() if is_done else ():
            result[name] = float(tracker.get_best_value())
    if not is_done:
        result = {**result, "status": STATUS_FAIL, "failure": trial.message}
    stored, tid = trial.hyperparameters.values, int(trial.trial_id)
    vals = {
        label: [node.value(stored[node.name])] if node.name in stored else []
        for label, node in nodes.items()
    }
    idxs = {label: [tid] if values else [] for label, values in vals.items()}
    return {
        "tid": tid,
        "state": JOB_STATE_DONE if is_done else JOB_STATE_ERROR,
        "result": result,
        "misc": {"tid": tid, "vals": vals, "idxs": idxs},
    }


def no_progress_loss(
    iteration_stop_count: int = 20, percent_increase: float = 0.0
) -> Callable[..., tuple[bool, list[Any]]]:
    """Returns a function for `fmin(early_stop_fn=)`: stop without progress.

    Args:
        iteration_stop_count: Number of trials without a better loss, at least 1.
            Defaults to `20`.
        percent_increase: By how many per cent a loss must be better to count. Defaults
            to `0.0`.

    Example:

    ```python
    from keras_strategies.compat.hyperopt import Trials, fmin, hp, rand
    from keras_strategies.compat.hyperopt import no_progress_loss

    trials = Trials()
    fmin(lambda x: 1.0, hp.uniform("x", 0, 1), rand.suggest, 50, trials=trials,
         early_stop_fn=no_progress_loss(3), show_progressbar=False)
    assert len(trials) == 4
    ```
    """
    checks.integer("iteration_stop_count", iteration_stop_count, low=1)

    def stop(
        trials: Trials, best: float = math.inf, count: int = -1
    ) -> tuple[bool, list[Any]]:
        loss = trials.losses()[-1]
        limit = best if math.isinf(best) else best - abs(best) * percent_increase / 100
        if loss is not None and loss < limit:
            return False, [loss, 0]
        count += 1
        return count >= iteration_stop_count, [best, count]

    return stop
