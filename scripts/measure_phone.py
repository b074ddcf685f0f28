"""Classify pictures in the page for phones and in Python, and write how far they agree to docs/measured/phone.json.

    .venv/bin/python scripts/measure_phone.py BUNDLE PICTURES [--only agreement|time]

Needs chromium, Playwright and the built page (`make phone`). A browser without a display stands for the phone: its
times compare the two files, a phone's are others. `--only time` wants cores on which nothing else runs; the other part
does not mind.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import PIL
from phone_sections import put, time_section
from phone_time import FILES, profile_files, time_files
from playwright.sync_api import Browser, Page, sync_playwright

from bundle.classify import Classifier
from bundle.image import SUFFIXES, decode
from bundle.preprocess import preprocess
from bundle.scores import top_k
from export.phone_page import Written, write_page

OUT = Path(__file__).resolve().parent.parent / "docs" / "measured" / "phone.json"
CLASSIFY = """async ([data, k]) => {
    const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
    const { top, pixels } = await window.classify(new Blob([bytes]), k);
    let text = "";
    for (let at = 0; at < pixels.length; at += 8192) text += String.fromCharCode(...pixels.subarray(at, at + 8192));
    return { top, pixels: btoa(text) };
}"""


class Packed(SimpleHTTPRequestHandler):
    """A host that sends the precompressed files, and counts what it sends."""

    sent: dict[str, int] = {}  # noqa: RUF012 (of the server, not of one request)

    def end_headers(self) -> None:
        if coding := self._coding():
            self.send_header("Content-Encoding", {"br": "br", "gz": "gzip"}[coding])
        super().end_headers()

    def translate_path(self, path: str) -> str:
        found = super().translate_path(path)
        self.plain = found  # its type is that of the unpacked file
        coding = self._coding()
        return f"{found}.{coding}" if coding else found

    def guess_type(self, path: Any) -> str:  # noqa: ARG002 (the packed file's)
        return super().guess_type(self.plain)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        self.sent[self.path] = os.fstat(source.fileno()).st_size
        super().copyfile(source, outputfile)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _coding(self) -> str | None:
        accepted = self.headers.get("Accept-Encoding", "")
        plain = getattr(self, "plain", "")
        if plain.endswith("/"):
            plain += "index.html"
        names = {"br": "br", "gz": "gzip"}
        return next((one for one in names if names[one] in accepted and Path(f"{plain}.{one}").is_file()), None)


class Isolating(Packed):
    """It also sends the headers that threads need, as the service does."""

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


@contextmanager
def hosted(folder: Path, handler: type[Packed] = Packed) -> Iterator[str]:
    """The folder's address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def first_load(browser: Browser, url: str) -> dict[str, int]:
    """Bytes of the bodies that a first visit fetched until the page worked offline, by kind."""
    Packed.sent.clear()
    context = browser.new_context()
    context.add_init_script("localStorage.setItem('convoy-file', 'int8')")
    page = context.new_page()
    page.goto(url + "index.html")
    page.wait_for_selector("#offline[data-ready]")
    context.close()
    kinds = {"runtime": 0, "model": 0, "page and description": 0}
    for path, size in Packed.sent.items():
        kind = "runtime" if path.endswith(".wasm") else "model" if ".onnx" in path else "page and description"
        kinds[kind] += size
    return {**kinds, "without the runtime": sum(kinds.values()) - kinds["runtime"], "all": sum(kinds.values())}


def ready(browser: Browser, url: str, precision: str) -> Page:
    """The conformance page with a file loaded."""
    page = browser.new_page()
    page.goto(f"{url}conformance.html?file={precision}")
    page.wait_for_selector("#start:not([disabled])")
    assert precision in page.inner_text("#summary")
    return page


def compare(page: Page, classifier: Classifier, files: list[Path]) -> dict[str, Any]:
    """Every picture in the browser and in Python, by the same artefact."""
    manifest = classifier.bundle.manifest
    equal, same, worst_pixel, worst_probability = 0, 0, 0, 0.0
    flips = []
    for file in files:
        data = file.read_bytes()
        pixels = preprocess(decode(data), manifest.preprocess)
        expected = top_k(classifier.session.run(pixels[np.newaxis])[0], manifest.labels, 5)
        answer = page.evaluate(CLASSIFY, [base64.b64encode(data).decode(), 5])
        found = np.frombuffer(base64.b64decode(answer["pixels"]), dtype=np.uint8).astype(np.int16)
        difference = int(np.abs(found - pixels.ravel()).max())
        first = answer["top"][0]
        equal += difference == 0
        same += first["index"] == expected[0].index
        worst_pixel = max(worst_pixel, difference)
        if first["index"] == expected[0].index:
            worst_probability = max(worst_probability, abs(first["probability"] - expected[0].probability))
        else:
            flips.append({"browser": first["probability"], "python": expected[0].probability})
    return {
        "pictures": len(files),
        "equal_pixels": equal,
        "largest_pixel_difference": worst_pixel,
        "same_top1": same,
        "top1_agreement": same / len(files),
        "largest_top1_probability_difference": worst_probability,
        "flips": flips,
    }


def pictures_of(folder: Path) -> list[Path]:
    """Every picture below the folder, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)


@contextmanager
def running() -> Iterator[Browser]:
    """A browser without a display."""
    with sync_playwright() as playwright:
        chromium = os.environ.get("CONVOY_CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


def measure_agreement(bundle: Path, pictures: Path) -> dict[str, Any]:
    """Sizes, first load, and how far the page agrees with Python."""
    files = pictures_of(pictures)
    with tempfile.TemporaryDirectory() as scratch, running() as browser:
        written = write_page(bundle, Path(scratch) / "page")
        with hosted(Path(scratch) / "page") as url:
            load = first_load(browser, url)
            agreement = {}
            for precision, target in FILES.items():
                page = ready(browser, url, precision)
                agreement[precision] = compare(page, Classifier(bundle, target), files)
                if precision == "int8":
                    kit = page.evaluate("window.conformance()")
        record = _record(written, browser.version)
    return {
        **record,
        "agreement": agreement,
        "first_load_int8_bytes": load,
        "conformance_int8": [_case(one) for one in kit],
    }


def measure_time(bundle: Path, pictures: Path) -> dict[str, Any]:
    """What a picture takes by either file, and why."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as scratch, running() as browser:
        folder = Path(scratch) / "page"
        write_page(bundle, folder)
        with hosted(folder, Isolating) as url:
            timed = time_files(browser, url, pictures_of(pictures)[0])
            profile = profile_files(browser, url, folder, bundle)
    return {"time": {"load_before": load, "page": timed, "profile": profile}}


def _record(written: Written, version: str) -> dict[str, Any]:
    return {
        "bundle": written.bundle,
        "browser": f"Chromium {version}, no display, x86-64",
        "pillow": PIL.__version__,
        "sizes": [asdict(part) for part in (*written.parts, *written.first_loads)],
    }


def _case(outcome: dict[str, Any]) -> dict[str, Any]:
    """One picture of the kit; the labels say nothing here."""
    pixels = outcome["pixels"] or {"max": None, "mean": None}
    return {
        "picture": outcome["name"],
        "pixels_max": pixels["max"],
        "pixels_mean": pixels["mean"],
        "probability_max": outcome["probability"],
        "same_answer": outcome["same"],
        "problem": outcome["problem"],
    }


PARTS = {"agreement": measure_agreement, "time": measure_time}


def main() -> None:
    """Measure, write beside what was measured before, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--only", choices=sorted(PARTS))
    arguments = parser.parse_args()
    record = json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else {}
    for part in [arguments.only] if arguments.only else PARTS:
        record |= PARTS[part](arguments.bundle, arguments.pictures)
    OUT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if "time" in record:
        put("time", time_section(record["time"]))
    for precision, found in record["agreement"].items():
        print(precision, {key: value for key, value in found.items() if key != "flips"})
    print(record["first_load_int8_bytes"], json.dumps(record.get("time"), indent=1))


if __name__ == "__main__":
    main()
