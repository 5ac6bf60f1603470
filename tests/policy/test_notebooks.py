"""The notebooks are small, quiet, and end with a check of what they claim."""

import json

import pytest

from tests.policy.sources import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
CHATTER = ("absl::InitializeLog", "oneDNN custom operations", "XNNPACK delegate")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook(path):
    assert path.stat().st_size <= 300_000
    text = path.read_text(encoding="utf-8")
    assert not any(line in text for line in CHATTER)
    cells = json.loads(text)["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert "assert " in "".join(code[-1]["source"])
    assert any(cell["outputs"] for cell in code)
