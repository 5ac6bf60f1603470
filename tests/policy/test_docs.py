"""The documentation names every public symbol and builds without a warning."""

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

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


# The tests run without the docs extra too; scripts/check installs it, builds the site
# and names its folder here. Building it anew takes ten seconds.
BUILT = os.environ.get("KERAS_STRATEGIES_SITE")


def of_the_site(test):
    return pytest.mark.slow(test) if BUILT is None else test


if importlib.util.find_spec("mkdocs") and importlib.util.find_spec("mkdocstrings"):

    @pytest.fixture(scope="module")
    def site(tmp_path_factory):
        if BUILT is not None:
            return Path(BUILT)
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

    @of_the_site
    def test_site_shows_every_symbol_with_its_arguments(site):
        for symbol in SYMBOLS:
            package = symbol.split(".")[1]
            page = (site / "api" / package / "index.html").read_text()
            assert f'id="{symbol}"' in page, symbol
            # A section that was not understood would stand there as plain text.
            assert "Args:" not in page, package

    @of_the_site
    def test_site_loads_nothing_from_elsewhere(site):
        loaded = re.compile(r'<(?:script|img|link)[^>]+(?:src|href)="?(https?:[^" >]+)')
        for page in site.rglob("*.html"):
            for tag in loaded.finditer(page.read_text()):
                assert (
                    'rel="canonical"' in tag[0]
                    or "rel=canonical" in tag[0]
                    or (tag[1].startswith("https://keras-strategies.readthedocs.io/"))
                ), f"{page.relative_to(site)}: {tag[1]}"

    class _Links(HTMLParser):
        def __init__(self):
            super().__init__()
            self.targets, self.anchors = [], set()

        def handle_starttag(self, tag, attrs):
            values = dict(attrs)
            self.anchors |= {values.get("id"), values.get("name")}
            self.targets += [values[k] for k in ("href", "src") if values.get(k)]

    @of_the_site
    def test_every_link_picture_and_anchor_of_the_site_is_there(site):
        pages = {}
        for path in site.rglob("*.html"):
            pages[path.resolve()] = parser = _Links()
            parser.feed(path.read_text(encoding="utf-8"))
        broken = []
        for path, page in pages.items():
            for link in page.targets:
                place, _, anchor = link.partition("#")
                if path.name == "404.html" or ":" in place or place.startswith("//"):
                    continue  # absolute links of the page of errors, other sites
                target = (path.parent / unquote(place)).resolve() if place else path
                target = target / "index.html" if target.is_dir() else target
                if not target.exists() or (
                    anchor and target in pages and anchor not in pages[target].anchors
                ):
                    broken.append(f"{path.relative_to(site)}: {link}")
        assert not broken

    @of_the_site
    @pytest.mark.parametrize(
        ("word", "page"),
        [
            ("warm-up", "guides/schedules/"),
            ("focal", "guides/imbalance/"),
            ("label_smoothing", "guides/imbalance/"),
            ("k-fold", "guides/cross_validation/"),
            ("ImageDataGenerator", "guides/migration/"),
            ("fastai", "guides/migration/"),
            ("onnx", "guides/hub_and_onnx/"),
            ("doctor", "command_line/"),
            ("microcontroller", "guides/compress/"),
            ("search_parallel", "api/tuning/"),
        ],
    )
    def test_search_finds(site, word, page):
        index = json.loads((site / "search" / "search_index.json").read_text())
        hits = {
            entry["location"].partition("#")[0]
            for entry in index["docs"]
            if word.lower() in f"{entry['title']} {entry['text']}".lower()
        }
        assert page in hits

    @of_the_site
    def test_pages_fit_a_phone(site):
        for path in site.rglob("index.html"):
            text = path.read_text(encoding="utf-8")
            assert 'name="viewport" content="width=device-width' in text or (
                "name=viewport" in text
            ), path
            assert 'data-md-color-scheme="slate"' in text, path  # dark, too


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
    # Spans of one backtick, or of two around text that has one.
    span = re.compile(r"`` (.+?)``|`(.+?)`(?=[,*])")
    quoted = [
        (match[1] or match[2]).strip()
        for bold in re.findall(r"^\*\*(`.+?`)\*\*(?! ?\(Keras\))", page, re.M)
        for match in span.finditer(f"{bold}*")
    ]
    assert len(quoted) >= 12
    sources = "\n".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "keras_strategies").rglob("*.py")
    )
    missing = [text for text in quoted if text not in sources]
    assert not missing
