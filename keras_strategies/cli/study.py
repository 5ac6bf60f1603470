"""`keras-strategies study`: which strategies help on a model and its data."""

import argparse
import contextlib
import re
import sys

from keras_strategies.cli import common
from keras_strategies.cli.errors import UsageError
from keras_strategies.cli.output_folder import check_folder

# Arguments and their defaults; a recipe has the same names.
DEFAULTS = {
    "model": None,
    "data": None,
    "metric": None,
    "catalog": None,
    "strategies": None,
    "include": None,
    "exclude": None,
    "design": "add_one",
    "seeds": 5,
    "max_seeds": 20,
    "epochs": 20,
    "batch_size": 32,
    "validation_split": 0.2,
    "tolerance": None,
    "time_limit": None,
    "workers": 1,
    "seed": None,
    "output": "study",
    "best": False,
}
EXAMPLE = """model:
  pkg.module:NAME   a function without arguments that returns a compiled model, found
                    from this folder

data:
  .npz with x and y (or x_train and y_train). With x_test and y_test these decide,
  else 30 % of x and y does.

strategies:
  --catalog image, text, tabular or all, and --strategies pkg.module:NAME, a dict or
  list of ablation.Strategy; --include and --exclude are searched in their names.

recipe:
  a .toml file with these options as keys (max_seeds = 10); options given on the
  command line win.

files: trainings.jsonl and study.json, from which the same command goes on, report.html
  (with Matplotlib: pictures), results.json and strategies_code.py, the lines that
  apply what helped.

exit codes:
  0 done, 2 bad use, 130 interrupted.

examples:
  keras-strategies study --model pkg.module:build --data x.npz --catalog image \\
      --metric val_accuracy --epochs 30 --workers 2
  keras-strategies study --recipe study.toml
"""


def add_parser(commands: common.Subparsers) -> None:
    """Adds the command."""
    parser = common.add_command(
        commands,
        "study",
        help="which strategies help on your model and your data",
        description=(
            "Trains a model with and without each strategy, in pairs and over several "
            "seeds, and says which ones help, hurt or make no difference."
        ),
        epilog=EXAMPLE,
    )
    parser.add_argument("--recipe", metavar="FILE.toml", help="see below")
    parser.add_argument("--model", metavar="MODEL", help="see below")
    parser.add_argument("--data", metavar="FILE.npz", help="see below")
    parser.add_argument("--metric", metavar="NAME", help="metric that decides")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder (study)")
    _add_strategies(parser)
    _add_study(parser)
    common.add_json(parser)
    # What is not given must not hide what the recipe says.
    parser.set_defaults(**dict.fromkeys(DEFAULTS), run=run)


def _add_strategies(parser):
    group = parser.add_argument_group("strategies")
    group.add_argument(
        "--catalog",
        choices=("image", "text", "tabular", "all"),
        metavar="KIND",
        help="ready strategies for data of this kind: image, text, tabular or all",
    )
    group.add_argument("--strategies", metavar="MODULE:NAME", help="your own")
    group.add_argument("--include", metavar="REGEX", help="only these names")
    group.add_argument("--exclude", metavar="REGEX", help="not these names")


def _add_study(parser):
    group = parser.add_argument_group("study")
    group.add_argument(
        "--design",
        choices=("add_one", "leave_one_out", "screen", "factorial"),
        metavar="NAME",
        help="add_one (default: each against the baseline), leave_one_out, screen "
        "(many in few trainings first) or factorial",
    )
    for name, low, text in (
        ("seeds", 3, "pairs at the first look (5)"),
        ("max-seeds", 3, "pairs at the last look (20)"),
        ("epochs", 1, "epochs of a training (20)"),
        ("batch-size", 1, "samples in a batch (32)"),
        ("workers", 1, "processes (1)"),
        ("seed", 0, "seed of the study (drawn)"),
        ("time-limit", 1, "seconds after which no training begins (no limit)"),
    ):
        kind = common.whole_number(low, 10**9)
        group.add_argument(f"--{name}", type=kind, metavar="N", help=text)
    group.add_argument(
        "--validation-split",
        type=common.fraction,
        metavar="F",
        help="part of the training data that callbacks see (0.2)",
    )
    group.add_argument(
        "--tolerance",
        type=float,
        metavar="D",
        help="difference that would not matter",
    )
    group.add_argument(
        "--best",
        action="store_const",
        const=True,
        help="train the combination of what helped and confirm it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Runs the study and writes its files; returns the exit code."""
    options = _options(arguments)
    folder = check_folder(options["output"])
    # With --json nothing else goes to stdout, whatever the model prints.
    aside = sys.stderr if arguments.json else sys.stdout
    with contextlib.redirect_stdout(aside):
        result, best = _studied(options, folder, quiet=arguments.json)
    if arguments.json:
        summary = result.to_dict()
        summary["best"] = None if best is None else best.to_dict()
        common.print_json(summary)
    else:
        tables = [result.table()] + ([] if best is None else [best.table()])
        sys.stdout.write("\n\n".join(tables) + "\n")
    return 0


def _options(arguments):
    """The command line, then the recipe, then the defaults."""
    recipe = {} if arguments.recipe is None else _recipe(arguments.recipe)
    options = {}
    for name, default in DEFAULTS.items():
        value = getattr(arguments, name)
        options[name] = recipe.get(name, default) if value is None else value
    for name in ("model", "data", "metric"):
        if not options[name]:
            raise UsageError(f"`--{name}` must be given, or {name} in the recipe")
    if not options["catalog"] and not options["strategies"]:
        raise UsageError("`--catalog` or `--strategies` must be given")
    return options


def _recipe(path):
    import tomllib

    with common.usage_errors():
        try:
            with open(path, "rb") as file:
                recipe = tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path} is no TOML file: {error}") from error
    unknown = sorted(set(recipe) - set(DEFAULTS))
    if unknown:
        raise UsageError(
            f"{path} has {', '.join(unknown)}. Known are {', '.join(DEFAULTS)}"
        )
    return recipe


def _studied(options, folder, quiet):
    from keras_strategies import ablation

    build_fn = common.import_object("--model", options["model"])
    data, test_data = _data(options["data"])
    strategies = _strategies(options)
    names = (
        *("metric", "design", "seeds", "max_seeds", "epochs", "batch_size"),
        *("validation_split", "tolerance", "time_limit", "workers", "seed"),
    )
    with common.usage_errors(RuntimeError):
        result = ablation.study(
            build_fn,
            data,
            strategies,
            test_data=test_data,
            directory=folder,
            verbose=0 if quiet else 1,
            **{name: options[name] for name in names},
        )
        best = result.best(verbose=0 if quiet else 1) if options["best"] else None
    result.save_report(folder / "report.html")
    result.save_report(folder / "results.json")
    chosen = None if best is None else best.strategies
    (folder / "strategies_code.py").write_text(result.code(chosen), encoding="utf-8")
    return result, best


def _data(path):
    """Training and test data of the file, the second `None` if it has none."""
    from keras_strategies.cli import _tune_inputs

    arrays = _tune_inputs.read_arrays(path)
    data = _tune_inputs.training_pair(arrays, path)
    return data, _tune_inputs.pair_of(arrays, path, ("x_test", "y_test"))


def _strategies(options):
    from keras_strategies import ablation
    from keras_strategies.ablation import Strategy

    found = {}
    if options["catalog"]:
        task = None if options["catalog"] == "all" else options["catalog"]
        with common.usage_errors():
            found |= ablation.catalog(task)
    if options["strategies"]:
        own = common.import_object("--strategies", options["strategies"])
        own = own() if callable(own) else own
        if isinstance(own, list | tuple):
            own = {getattr(item, "name", item): item for item in own}
        if not isinstance(own, dict) or not all(
            isinstance(item, Strategy) for item in own.values()
        ):
            raise UsageError(
                "`--strategies` must name a dict or a list of ablation.Strategy. "
                f"Received: {options['strategies']}"
            )
        found |= own
    for name in ("include", "exclude"):
        if options[name] is not None:
            found = _selected(found, name, options[name])
    if not found:
        raise UsageError("`--include` and `--exclude` must leave a strategy")
    return found


def _selected(strategies, name, pattern):
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise UsageError(
            f"`--{name}` must be a regular expression ({error}). Received: {pattern}"
        ) from error
    keep = name == "include"
    return {key: item for key, item in strategies.items() if bool(search(key)) is keep}
