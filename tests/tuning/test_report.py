"""The HTML report of a search."""

import base64
import gc
import html.parser
import sys

import keras_tuner
import pytest

from keras_strategies import tuning
from keras_strategies.tuning.reports import _records
from tests.tuning import numbers


class Reader(html.parser.HTMLParser):
    """Texts, pictures, table rows and whatever would be loaded from elsewhere."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.pictures, self.loaded, self.open, self.rows = (
            [],
            {},
            [],
            [],
            [],
        )
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "img":
            kind, data = attributes["src"].split(",", 1)
            assert kind == "data:image/png;base64"
            self.pictures[attributes["alt"]] = base64.b64decode(data)
        elif "src" in attributes or "href" in attributes:
            self.loaded.append(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)
        if self.open and self.open[-1] == "td":
            self.rows[-1].append(data)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    gc.freeze()
    return numbers.search(
        tmp_path_factory.mktemp("found"), pruner="median", project_name="a <search>"
    )


def read(tuner, path, **kwargs):
    assert tuning.save_report(tuner, path, **kwargs) == str(path)
    return Reader(path.read_text(encoding="utf-8"))


def test_page_of_one_objective(found, tmp_path):
    page = read(found, tmp_path / "report.html")
    assert page.loaded == [] and "script" not in page.texts
    text = "\n".join(page.texts)
    rows = found.results()
    best = min((r for r in rows if r["score"] is not None), key=lambda r: r["score"])
    assert "a <search>" in text and f"{best['score']:.5g}" in text
    assert f"The best trial, {best['trial']}" in text
    failed = [row["trial"] for row in rows if row["status"] == "FAILED"]
    assert f"{len(failed)} of 24 trials failed" in text
    assert f"x is too far <away> (trials {', '.join(failed)})" in text
    table = page.rows[-len(rows) :]
    assert table[0][0] == best["trial"]
    assert sorted(row[0] for row in table) == [row["trial"] for row in rows]
    assert len(page.pictures) == 5
    assert all(data.startswith(b"\x89PNG") for data in page.pictures.values())


def test_page_of_two_objectives_of_a_tuner_of_kerastuner(tmp_path):
    made = numbers.search(tmp_path, numbers.TWO, cls=numbers.Stock, max_trials=5)
    page = read(made, tmp_path / "report.html", title="Loss and size")
    rows = _records.trial_rows(made.oracle)
    objectives = _records.objectives_of(made.oracle)
    front = [row["trial"] for row in _records.pareto_front(rows, objectives)]
    head = [row[0] for row in page.rows if row][: len(front)]
    assert head == front
    assert "val_loss against size" in page.pictures
    assert len(page.pictures) == 9
    assert "Loss and size" in page.texts


def test_few_trials_and_a_best_one_at_the_end_of_its_range(tmp_path):
    class Slope(tuning.Tuner):
        def run_trial(self, trial, **kwargs):
            return trial.hyperparameters.get("units")

    hp = keras_tuner.HyperParameters()
    hp.Int("units", 8, 24, step=8)
    made = Slope(hyperparameters=hp, algorithm="grid", directory=tmp_path)
    made.search(verbose=0)
    page = read(made, tmp_path / "report.html")
    said = "The best units, 8, is at the lower end of its range 8 to 24"
    assert said in "\n".join(page.texts)
    assert len(page.pictures) == 3  # too few trials for the importance


def test_bad_use_leaves_no_file(found, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="must end in .html or .json"):
        tuning.save_report(found, tmp_path / "report.pdf")
    with pytest.raises(FileNotFoundError, match="must exist"):
        tuning.save_report(found, tmp_path / "none" / "report.html")
    new = tuning.Tuner(None, max_trials=3, hyperparameters=numbers.space(),
                       algorithm="random", directory=tmp_path)  # fmt: skip
    with pytest.raises(ValueError, match="must have a completed trial"):
        tuning.save_report(new, tmp_path / "report.html")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"keras-strategies\[tuning\]"):
        tuning.save_report(found, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
