"""Every pair of callbacks of which one writes what the other reads, by hand."""

import random
from pathlib import Path

import pytest

from tests.composition import callback_pairs

CELLS = list(callback_pairs.cells())
SAMPLE = random.Random(20261130).sample(CELLS, 16)


@pytest.fixture(scope="module")
def model():
    return callback_pairs.make_model()


def test_the_table_of_the_documents_is_that_of_the_tests():
    page = Path(__file__).parents[2] / "docs" / "callbacks.md"
    assert callback_pairs.table() in page.read_text()


def run(cell, model):
    first, second, *_ = cell
    words = callback_pairs.named_error(first, second)
    if words is None:
        callback_pairs.check(cell, model)
        return
    with pytest.raises(ValueError, match=words):
        callback_pairs.check(cell, model)


@pytest.mark.parametrize("cell", SAMPLE, ids="-".join)
def test_a_sample_of_the_matrix(cell, model):
    run(cell, model)


def test_every_pair_that_is_an_error_is_refused(model):
    refused = [
        cell for cell in CELLS if callback_pairs.named_error(*cell[:2]) is not None
    ]
    for cell in refused:
        if cell[2:] == ("plain", "given"):
            run(cell, model)


@pytest.mark.slow
def test_the_whole_matrix(model):
    wrong = {}
    for cell in CELLS:
        try:
            run(cell, model)
        except (Exception, pytest.fail.Exception) as error:
            wrong["-".join(cell)] = str(error).strip().splitlines()[0:12]
            model = callback_pairs.make_model()
    assert not wrong, f"{len(wrong)} of {len(CELLS)} cells: {wrong}"
