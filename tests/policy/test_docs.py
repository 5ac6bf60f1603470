"""The documentation names every public symbol and builds without a warning."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys

import pytest

from tests.policy.sources import ROOT, SUBPACKAGES, public_symbols

DIRECTIVE = re.compile(r"^::: (\S+)$", re.M)
SYMBOLS = sorted(f"keras_strategies.{name}" for name in public_symbols())


def directives(page):
    return DIRECTIVE.findall(page.read_text())


def test_api_pages_are_the_public_packages():
    shown = {path.stem for path in (ROOT / "docs" / "api").glob("*.md")}
    public = {name for name in SUBPACKAGES if any(f".{name}." in s for s in SYMBOLS)}
    assert public <= shown <= set(SUBPACKAGES)


@pytest.mark.parametrize("package", SUBPACKAGES)
def test_page_names_each_symbol_once_and_no_other(package):
    own = [s for s in SYMBOLS if s.startswith(f"keras_strategies.{package}.")]
    if not own:
        return
    named = directives(ROOT / "docs" / "api" / f"{package}.md")
    assert sorted(named) == [f"keras_strategies.{package}", *own]


def test_every_page_is_in_the_navigation():
    navigation = re.findall(r"([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
    docs = ROOT / "docs"
    pages = [str(path.relative_to(docs)) for path in docs.rglob("*.md")]
    assert sorted(navigation) == sorted(pages)


# The tests run without the docs extra too; scripts/check installs it and builds.
if importlib.util.find_spec("mkdocs") and importlib.util.find_spec("mkdocstrings"):

    @pytest.fixture(scope="module")
    def site(tmp_path_factory):
        folder = tmp_path_factory.mktemp("site")
        done = subprocess.run(
            [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)],
            cwd=ROOT,
            env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return folder

    def test_site_shows_every_symbol_with_its_arguments(site):
        for symbol in SYMBOLS:
            package = symbol.split(".")[1]
            page = (site / "api" / package / "index.html").read_text()
            assert f'id="{symbol}"' in page, symbol
            # A section that was not understood would stand there as plain text.
            assert "Args:" not in page, package

    def test_site_loads_nothing_from_elsewhere(site):
        loaded = re.compile(r'<(?:script|img|link)[^>]+(?:src|href)="?(https?:[^" >]+)')
        for page in site.rglob("*.html"):
            for tag in loaded.finditer(page.read_text()):
                assert (
                    'rel="canonical"' in tag[0]
                    or "rel=canonical" in tag[0]
                    or (tag[1].startswith("https://keras-strategies.readthedocs.io/"))
                ), f"{page.relative_to(site)}: {tag[1]}"


# Names in code spans: `callbacks.TimeBudget`, `keras.layers.Lamb`.
OURS = re.compile(rf"`({'|'.join(SUBPACKAGES)})\.([A-Za-z_]\w*)")
KERAS = re.compile(r"`(keras(?:\.\w+)+)(?=[`(])")
MIGRATION = ROOT / "docs" / "guides" / "migration.md"


@pytest.mark.parametrize(
    "page",
    sorted((ROOT / "docs").rglob("*.md")),
    ids=lambda path: str(path.relative_to(ROOT / "docs")),
)
def test_names_in_the_text_exist(page):
    import keras

    lines = page.read_text(encoding="utf-8").splitlines()
    if page == MIGRATION:  # what stands in the first column is of another package
        lines = [line.partition("|")[2].partition("|")[2] or line for line in lines]
    text = "\n".join(lines)
    for package, name in OURS.findall(text):
        module = importlib.import_module(f"keras_strategies.{package}")
        assert hasattr(module, name), f"{package}.{name}"
    for name in set(KERAS.findall(text)):
        if name.endswith(".keras") or page.stem in ("changelog", "benchmarks"):
            continue
        value = keras
        for part in name.split(".")[1:]:
            if name in GONE:
                break
            assert hasattr(value, part), name
            value = getattr(value, part)


# What the text says is gone, or is an attribute that exists when it is used.
GONE = {"keras.wrappers.scikit_learn"}


def test_messages_of_the_questions_are_those_of_the_package():
    """A bold code span of the page of error messages stands in a source file."""
    page = (ROOT / "docs" / "guides" / "faq.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\*\*`(.+?)`\*\*(?! ?\(Keras\))", page, re.M)
    assert len(quoted) >= 12
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "keras_strategies").rglob("*.py")
    )
    missing = [text for text in quoted if text not in sources]
    assert not missing
