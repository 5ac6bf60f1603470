"""`keras-strategies tune`: a search for hyperparameters."""

import argparse
import contextlib
import csv
import pathlib
import sys

from keras_strategies.cli import common
from keras_strategies.cli.errors import UsageError
from keras_strategies.cli.output_folder import check_folder, written_aside

EPOCHS = 10
EXAMPLE = """model:
  pkg.module:NAME   a function build(hp) that returns a compiled model, a KerasTuner
                    HyperModel, or a compiled Keras model, found from this folder
  model.keras       a compiled Keras model; its training is searched (tune_model)

data:
  .npz with x and y (or x_train and y_train). With x_val and y_val these judge the
  trials, else a part of x and y does. With x_test and y_test the best model is
  evaluated on these at the end.

files: best.keras (or front_TRIAL.keras for several objectives), results.csv and
  report.html, and the folder search. The same command again goes on where an
  interrupted search ended, also with more trials.

exit codes:
  0 done, 1 no trial completed, 2 bad use, 130 interrupted.

examples:
  keras-strategies tune --model pkg.module:build --data x.npz --algorithm tpe \\
      --trials 50 --objective val_accuracy
  keras-strategies tune --model model.keras --data x.npz --workers 2 --pruner median
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "tune",
        help="search hyperparameters",
        description=(
            "Searches the hyperparameters of a model and leaves the best model, a "
            "table of all trials and a report in a folder."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("--model", required=True, metavar="MODEL", help="see below")
    parser.add_argument("--data", required=True, metavar="FILE.npz", help="see below")
    parser.add_argument(
        "-o", "--output", default="tuned", metavar="DIR", help="folder (tuned)"
    )
    _add_search(parser)
    _add_training(parser)
    parser.add_argument(
        "--no-report", action="store_true", help="no report.html (needs Matplotlib)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="delete an earlier search in DIR"
    )
    parser.add_argument(
        "--adopt",
        action="store_true",
        help="go on with an earlier search in DIR that was another one: its trials "
        "count as far as they go",
    )
    common.add_unsafe(parser)
    common.add_json(parser)
    parser.set_defaults(run=run, check=check)


def _add_search(parser):
    group = parser.add_argument_group("search")
    group.add_argument(
        "--objective",
        action="append",
        metavar="NAME[:min|:max]",
        help="metric to optimize (val_loss); given several times: several objectives",
    )
    group.add_argument(
        "--algorithm",
        default="auto",
        metavar="NAME",
        help="grid, random, bayesian, hyperband, tpe, gp, cmaes, nsga2, evolution, "
        "pbt or auto (auto: chosen from the space)",
    )
    group.add_argument(
        "--trials",
        type=common.whole_number(1, 10**6),
        metavar="N",
        help="trials at most (10; all of a grid or of Hyperband)",
    )
    group.add_argument("--pruner", metavar="NAME", help="median or asha (none)")
    group.add_argument(
        "--time-limit",
        type=common.whole_number(1, 10**9),
        metavar="SECONDS",
        help="no further trial after that (no limit)",
    )
    group.add_argument(
        "--workers",
        type=common.whole_number(1, 1000),
        default=1,
        metavar="N",
        help="processes that search (1)",
    )
    group.add_argument(
        "--isolate",
        action="store_true",
        help="a process for each trial: one that crashes ends nothing else",
    )
    group.add_argument(
        "--seed",
        type=common.whole_number(0, 2**31 - 1),
        metavar="N",
        help="of the proposals and the split (another search each time)",
    )


def _add_training(parser):
    group = parser.add_argument_group("training")
    group.add_argument(
        "--epochs",
        type=common.whole_number(1, 10**6),
        metavar="N",
        help=f"epochs of a trial ({EPOCHS}, unless the model searches them); for "
        "Hyperband the most",
    )
    group.add_argument(
        "--batch-size",
        type=common.whole_number(1, 10**6),
        metavar="N",
        help="examples a step (Keras's 32, unless the model searches it)",
    )
    group.add_argument(
        "--validation-split",
        type=common.fraction,
        metavar="F",
        help="part of the data, drawn at random, that judges the trials (0.2)",
    )
    group.add_argument(
        "--folds",
        type=common.whole_number(2, 1000),
        metavar="N",
        help="cross-validation with so many folds instead",
    )


def check(arguments: argparse.Namespace) -> None:
    """Refuses what needs no library to be refused."""
    check_folder(arguments.output)
    if not arguments.no_report:
        common.need_modules(
            "The report of `keras-strategies tune` (--no-report)", "matplotlib"
        )


def run(arguments: argparse.Namespace) -> int:
    """Runs the command; returns its exit code."""
    # With --json nothing else goes to stdout, whatever KerasTuner or the model prints.
    aside = sys.stderr if arguments.json else sys.stdout
    with contextlib.redirect_stdout(aside):
        outcome = _run(arguments)
    if outcome is None:
        return 1
    if arguments.json:
        common.print_json(_summary(*outcome))
    else:
        _print_outcome(*outcome)
    return 0


def _run(arguments):
    """Returns the results, the files and the test metrics; None if all failed."""
    from keras_strategies.cli import _tune_inputs

    folder = pathlib.Path(arguments.output)
    data = _tune_inputs.Data(arguments)
    tuner = _tuner(
        arguments, _tune_inputs.load_model(arguments.model, arguments.unsafe)
    )
    if not _search(tuner, arguments, data):
        return None
    files, scores = _write(tuner, folder, arguments, data)
    return tuner.results(), files, scores


def _tuner(arguments, model):
    from keras_strategies import tuning

    with common.usage_errors(), _ways_out_as_options():
        return tuning.Tuner(
            model,
            _objectives(arguments.objective or ["val_loss"]),
            max_trials=arguments.trials,
            algorithm=arguments.algorithm,
            pruner=arguments.pruner,
            directory=arguments.output,
            overwrite=arguments.overwrite,
            on_change="adopt" if arguments.adopt else "check",
            seed=arguments.seed,
            cv=arguments.folds,
            time_limit=arguments.time_limit,
            trial_in_subprocess=arguments.isolate,
            algorithm_options=_options(arguments),
        )


@contextlib.contextmanager
def _ways_out_as_options():
    """Says what to do about a changed search by options of this command."""
    from keras_strategies.tuning._space import WAYS_OUT

    try:
        yield
    except ValueError as error:
        if WAYS_OUT not in str(error):
            raise
        options = (
            "Give --overwrite to begin anew, another --output, or --adopt to go on "
            "with the trials there as history."
        )
        raise UsageError(
            common.one_line(str(error).replace(WAYS_OUT, options))
        ) from error


def _objectives(texts):
    objectives = [_objective(text) for text in texts]
    return objectives if len(objectives) > 1 else objectives[0]


def _objective(text):
    from keras_strategies.tuning.search import make_objective

    name, _, direction = text.partition(":")
    if not direction:
        return name
    if direction not in ("min", "max"):
        raise UsageError(f"`--objective` must end in :min or :max. Received: {text}")
    return make_objective(name, direction)


def _options(arguments):
    if arguments.algorithm == "hyperband" and arguments.epochs is not None:
        return {"max_epochs": arguments.epochs}
    return None


def _search(tuner, arguments, data):
    """Runs the search; `False` if no trial completed."""
    from keras_strategies.tuning.search import FatalError

    fit = {"verbose": 0 if arguments.json else 1}
    searched = {hp.name for hp in tuner.oracle.get_space().space}
    if arguments.algorithm != "hyperband":
        if arguments.epochs is not None:
            fit["epochs"] = arguments.epochs
        elif "epochs" not in searched:
            fit["epochs"] = EPOCHS
    if arguments.batch_size is not None:
        fit["batch_size"] = arguments.batch_size
    if data.validation is not None:
        fit["validation_data"] = data.validation
    try:
        if arguments.workers > 1:
            tuner.search_parallel(arguments.workers, *data.train, **fit)
        else:
            tuner.search(*data.train, **fit)
    except FatalError as error:
        raise UsageError(common.one_line(error)) from error
    except RuntimeError as error:
        # What Tuner raises if no trial completed, with the last message.
        common.print_error(error)
        return False
    return True


def _write(tuner, folder, arguments, data):
    """Returns the names of the files and the test metrics of the best model."""
    from keras_strategies import tuning

    scores = None
    report = tuner.results()
    has_front = len(report.objectives) > 1
    with written_aside(folder) as aside:
        best = tuner.pareto_front() if has_front else tuner.oracle.get_best_trials(1)
        for trial in best:
            model = tuner.load_model(trial)
            name = f"front_{trial.trial_id}.keras" if has_front else "best.keras"
            model.save(aside / name)
            if data.test is not None and not has_front:
                scores = model.evaluate(*data.test, verbose=0, return_dict=True)
        _write_table(report.rows, aside / "results.csv")
        if not arguments.no_report:
            tuning.save_report(tuner, aside / "report.html", title=arguments.model)
        files = sorted(path.name for path in aside.iterdir())
    for path in folder.glob("front_*.keras"):  # of an earlier front
        if path.name not in files:
            path.unlink()
    return [str(folder / name) for name in files], scores


def _write_table(rows, path):
    names = dict.fromkeys(key for row in rows for key in row)
    order = ("metric/", "value/")  # the last sorts first
    columns = sorted(names, key=lambda n: [n.startswith(p) for p in order])
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _summary(report, files, scores):
    from keras_strategies.tuning.reports import metrics_of, values_of

    return {
        "algorithm": report.algorithm,
        "objectives": report.objectives,
        "trials": report.statuses,
        "best": [
            {
                "trial": row["trial"],
                "epoch": row["best_epoch"],
                "values": values_of(row),
                "metrics": metrics_of(row),
            }
            for row in report.best
        ],
        "test": scores,
        "files": files,
    }


def _print_outcome(report, files, scores):
    from keras_strategies.tuning.reports import format_value, values_of

    names = list(report.objectives)
    columns = ("trial", *(f">{name}" for name in names), "values")
    best = [
        (
            row["trial"],
            *(format_value(row[f"metric/{name}"]) for name in names),
            ", ".join(f"{k} {format_value(v)}" for k, v in values_of(row).items()),
        )
        for row in report.best
    ]
    common.print_table("Best", columns, best)
    if scores:
        rows = [(name, format_value(value)) for name, value in scores.items()]
        common.print_table("On the test data", ("", ""), rows)
    common.print_table("Files", ("",), [(name,) for name in files])
