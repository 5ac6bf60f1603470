"""The site as a reader meets it, in headless Chromium."""

import functools
import http.server
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest

ROOT = pathlib.Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WORDS = {
    "EarlyStopping": "callbacks",
    "to_tflite": "export",
    "warmup": "schedules",
    "prune": "compression",
    "MultiWorkerMirroredStrategy": "distributed",
    "resume": "resume",
    "label smoothing": "imbalance",
    "ImageDataGenerator": "augmentation",
    "hyperopt": "hyperopt",
    "distillation": "distillation",
}

pytestmark = [pytest.mark.slow, pytest.mark.tensorflow]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        """Says nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """`(address, pages)` of the site, built and served."""
    pytest.importorskip("mkdocs", reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = [
        p.parent.relative_to(folder).as_posix() for p in folder.rglob("index.html")
    ]
    yield f"http://127.0.0.1:{server.server_port}", sorted(pages)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the browser needs the extra docs"
    )
    with playwright.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_pages_fit_and_the_console_is_empty(site, browser, width, scheme):
    address, pages = site
    context = browser.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme
    )
    page, problems = context.new_page(), []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda message: (
            problems.append(message.text)
            if message.type in ("error", "warning")
            else None
        ),
    )
    page.on(
        "response",
        lambda answer: (
            problems.append(f"{answer.status} {answer.url}")
            if answer.status >= 400
            else None
        ),
    )
    assert len(pages) > 40
    for name in pages:
        page.goto(f"{address}/{name}/", wait_until="load")
        whole = page.evaluate("document.documentElement.scrollWidth")
        if whole > width:
            problems.append(f"{name} is {whole} pixels wide")
        shade = page.evaluate("document.body.getAttribute('data-md-color-scheme')")
        if (shade == "slate") != (scheme == "dark"):
            problems.append(f"{name} is shown in {shade}")
    context.close()
    assert not problems


def test_links_lead_to_what_is_there(site, browser):
    address, pages = site
    page, missing = browser.new_page(), []
    anchors = {}
    for name in pages:
        page.goto(f"{address}/{name}/")
        links = page.eval_on_selector_all("a[href]", "links => links.map(a => a.href)")
        ids = page.eval_on_selector_all("[id], a[name]", "all => all.map(x => x.id)")
        anchors[page.url.rstrip("/")] = (set(ids), links)
    for source, (_, links) in anchors.items():
        for link in links:
            if not link.startswith(address):
                continue
            target, _, anchor = link.partition("#")
            target = target.rstrip("/")
            known = anchors.get(target)
            if known is None:
                if page.request.get(target).status >= 400:
                    missing.append(f"{source} -> {link}")
            elif anchor and anchor not in known[0] and not anchor.startswith("__"):
                missing.append(f"{source} -> {link}")
    page.close()
    assert not missing


@pytest.mark.parametrize("words", WORDS)
def test_search_finds(site, browser, words):
    address, _ = site
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.click("input.md-search__input")
    page.fill("input.md-search__input", words)
    page.wait_for_selector(".md-search-result__item")
    links = page.eval_on_selector_all(
        ".md-search-result__link", "links => links.map(a => a.href)"
    )
    page.close()
    assert any(f"/{WORDS[words]}/" in link for link in links), links
