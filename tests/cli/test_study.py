"""`keras-strategies study`: files, recipe, bad use, exit codes."""

import json
import textwrap

import numpy as np
import pytest

from keras_strategies.cli import main as cli
from keras_strategies.cli import study as command

MODULE = """
    import keras
    from keras_strategies import ablation

    def build():
        start = keras.initializers.GlorotUniform(seed=1)
        head = keras.layers.Dense(2, "softmax", kernel_initializer=start)
        model = keras.Sequential([keras.Input((4,)), head])
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.SGD(1e-4), loss, metrics=["accuracy"])
        return model

    def adam(optimizer):
        return keras.optimizers.Adam(0.05)

    own = [ablation.Strategy("adam", optimizer=adam)]
    wrong = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "studied_module.py").write_text(textwrap.dedent(MODULE))
    rng = np.random.default_rng(0)
    y = (np.arange(200) % 2).astype("int32")
    x = (rng.normal(size=(200, 4)) + 1.5 * np.eye(4)[y]).astype("float32")
    np.savez(tmp_path / "x.npz", x=x, y=y)
    np.savez(tmp_path / "tested.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    np.savez(tmp_path / "half.npz", x=x)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return cli.main(["study", *map(str, arguments)])


MODEL = ("--model", "studied_module:build", "--strategies", "studied_module:own")
SMALL = ("--metric", "val_loss", "--seeds", 3, "--max-seeds", 3, "--epochs", 1)


def test_a_study_and_its_files(folder, capsys):
    code = run(*MODEL, "--data", "x.npz", *SMALL, "--seed", 0)
    out = capsys.readouterr().out
    assert code == 0
    assert "adam" in out and "helps" in out
    names = {path.name for path in (folder / "study").iterdir()}
    assert {
        "trainings.jsonl",
        "report.html",
        "results.json",
        "strategies_code.py",
    } <= names
    assert "adam(optimizer)" in (folder / "study" / "strategies_code.py").read_text()
    trained = (folder / "study" / "trainings.jsonl").read_text()
    # The same command again trains nothing, and prints one object with --json.
    assert run(*MODEL, "--data", "x.npz", *SMALL, "--seed", 0, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"][0]["verdict"] == "helps" and found["best"] is None
    assert (folder / "study" / "trainings.jsonl").read_text() == trained
    assert run(*MODEL, "--data", "x.npz", *SMALL, "--seed", 1) == 2
    assert "another seed" in capsys.readouterr().err


def test_a_recipe(folder, capsys):
    recipe = {
        "model": "studied_module:build",
        "data": "tested.npz",
        "strategies": "studied_module:own",
        "metric": "loss",
        "output": "elsewhere",
    }
    lines = [f'{key} = "{value}"' for key, value in recipe.items()]
    lines += ["seeds = 3", "max_seeds = 3", "epochs = 3", "seed = 0"]
    (folder / "study.toml").write_text("\n".join(lines))
    assert run("--recipe", "study.toml", "--epochs", 1) == 0
    settings = json.loads((folder / "elsewhere" / "study.json").read_text())
    assert settings["epochs"] == 1 and settings["max_seeds"] == 3
    assert "helps" in capsys.readouterr().out


def options(*arguments):
    parsed = cli.build_parser().parse_args(["study", *map(str, arguments)])
    return command._options(parsed)


def test_the_catalog_is_selected_by_name(folder):
    base = ("--model", "m:f", "--data", "d", "--metric", "loss", "--catalog", "image")
    found = command._strategies(options(*base, "--include", "^(l2|ad)"))
    assert list(found) == ["l2", "adaptive_clip", "adagrad", "adamw"]
    found = command._strategies(
        options(*base, "--include", "^(l2|ad)", "--exclude", "ad")
    )
    assert list(found) == ["l2"]


def test_defaults_are_those_of_the_function():
    import inspect

    from keras_strategies import ablation

    parameters = inspect.signature(ablation.study).parameters
    for name, default in command.DEFAULTS.items():
        if name in parameters and parameters[name].default is not inspect._empty:
            assert default == parameters[name].default, name


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "`--model` must be given"),
        ((*MODEL, "--data", "x.npz"), "`--metric` must be given"),
        (("--model", "m:f", "--data", "x.npz", "--metric", "a"), "`--catalog` or"),
        ((*MODEL, *SMALL, "--data", "none.npz"), "--data"),
        ((*MODEL, *SMALL, "--data", "half.npz"), "x and y"),
        (("--model", "nowhere:f", *MODEL[2:], *SMALL, "--data", "x.npz"), "no module"),
        (("--model", "studied_module:no", *MODEL[2:], *SMALL, "--data", "x.npz"), "no"),
        ((*MODEL[:3], "studied_module:wrong", *SMALL, "--data", "x.npz"), "a dict or"),
        ((*MODEL, *SMALL, "--data", "x.npz", "--metric", "recall"), "metrics="),
        ((*MODEL, *SMALL, "--data", "x.npz", "--include", "("), "regular expression"),
        ((*MODEL, *SMALL, "--data", "x.npz", "--include", "zz"), "leave a strategy"),
        (("--recipe", "none.toml"), "none.toml"),
    ],
)
def test_bad_use(folder, capsys, arguments, text):
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert text in error and error.startswith("keras-strategies: ")
    assert len(error.strip().splitlines()) == 1


def test_bad_recipes(folder, capsys):
    (folder / "bad.toml").write_text("model = ")
    assert run("--recipe", "bad.toml") == 2
    assert "no TOML file" in capsys.readouterr().err
    (folder / "unknown.toml").write_text("modl = 1")
    assert run("--recipe", "unknown.toml") == 2
    assert "unknown.toml has modl" in capsys.readouterr().err
