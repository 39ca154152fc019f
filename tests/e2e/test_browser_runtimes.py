"""The shipped file in a browser: MediaPipe's and LiteRT's packages for the web give the answers that were scored."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from colour_export import export_of_colours
from colour_model import LABELS
from conftest import CHROMIUM, REPOSITORY

pytestmark = pytest.mark.slow
PACKAGES = {
    "tasks-vision": "@mediapipe/tasks-vision@1.1.0",
    "litert": "@litertjs/core@2.5.3",
    "wasm-utils": "@litertjs/wasm-utils@2.5.3",
}
PAGE = Path(__file__).with_name("browser") / "index.html"


class Served(http.server.SimpleHTTPRequestHandler):
    """Files with the types that modules and WebAssembly need; says nothing."""

    extensions_map: ClassVar[dict[str, str]] = {
        ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm", "": "text/html",
    }  # fmt: skip

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page, the export and the packages, which npm fetches once."""
    npm = shutil.which("npm")
    if npm is None or CHROMIUM is None:
        pytest.skip("npm or chromium is not installed")
    folder, kept = tmp_path_factory.mktemp("site"), REPOSITORY / ".automl-cnn" / "npm"
    kept.mkdir(parents=True, exist_ok=True)
    for name, package in PACKAGES.items():
        archive = kept / f"{package.removeprefix('@').replace('/', '-').replace('@', '-')}.tgz"
        if not archive.exists():
            done = subprocess.run([npm, "pack", package], cwd=kept, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"npm does not reach a registry: {done.stderr[-200:]}")
        with tarfile.open(archive) as packed:
            packed.extractall(folder / f"{name}-packed", filter="data")
        (folder / f"{name}-packed" / "package").rename(folder / name)
    shutil.copy(PAGE, folder)
    export_of_colours(folder)
    return folder


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Served, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_both_runtimes_for_browsers_give_the_golden_answers(address: str) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{address}/index.html")
        page.wait_for_function("document.querySelector('#said').textContent", timeout=120_000)
        said = json.loads(page.inner_text("#said"))
        browser.close()
    assert said == {name: {"images": 2 * len(LABELS), "difference": pytest.approx(0, abs=1e-3)} for name in said}
    assert set(said) == {"mediapipe", "litert"}
