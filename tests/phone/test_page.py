"""The page for phones in a real browser: Debian's chromium with a phone's screen and touch, without a display."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from bundle.folder import record_file, sha256_of, write_manifest
from bundle.image import decode
from bundle.manifest import Preprocess
from bundle.preprocess import preprocess
from export.phone_page import BUILT, write_page
from service.settings import Settings
from tests.browsers import SHOTS, browsing, needs_browser
from tests.pictures import COLOURS, encode, noise, plain
from tests.service.conftest import Served, new_engine, served
from tests.tiny import CROP, tiny_graph, tiny_manifest, write_tiny_bundle

RED = encode(plain("red", 320, 240))

pytestmark = [
    needs_browser,
    pytest.mark.skipif(not (BUILT / "index.html").is_file(), reason="phone/web/dist is not built: make phone"),
]

PORTRAIT = {"width": 393, "height": 851}
KNOWN_TO_DIFFER = {"exif-6.webp", "over-16-megapixels.jpg"}
"""docs/phone.md says why."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as running:
        yield running


def page_of(bundle: Path, root: Path) -> Iterator[Served]:
    write_page(bundle, root / "page")
    engine = new_engine()
    engine.start(Settings(models=bundle, batching="off", phone=root / "page")).join()
    with served(engine) as running:
        yield running
    engine.stop()


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    yield from page_of(tiny_bundle, tmp_path_factory.mktemp("phone"))


@pytest.fixture(scope="module")
def cubic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("cubic")
    spec = Preprocess(resize=11, crop=CROP, interpolation="bicubic", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    yield from page_of(write_tiny_bundle(root / "bundle", spec=spec), root)


@pytest.fixture(scope="module")
def two_files(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A bundle with an int8 file beside the fp32 one; what is in it does not matter to the choice."""
    root = tmp_path_factory.mktemp("two")
    bundle = Path(shutil.copytree(tiny_bundle, root / "two"))
    graph = tiny_graph()
    graph.doc_string = "another file"
    onnx.save(graph, bundle / "model-int8.onnx")
    manifest = tiny_manifest(bundle, "two")
    record = record_file(bundle, "model-int8.onnx").model_dump()
    int8 = manifest.artefacts[0].model_copy(update={**record, "target": "onnx-int8", "precision": "int8"})
    write_manifest(bundle, manifest.model_copy(update={"artefacts": (*manifest.artefacts, int8)}))
    yield from page_of(bundle, root)


@pytest.fixture
def phone(browser: Any) -> Iterator[Any]:
    """A context with a phone's screen; errors of its pages fail the test."""
    context = browser.new_context(
        viewport=PORTRAIT, has_touch=True, is_mobile=True, device_scale_factor=2, color_scheme="dark"
    )
    problems: list[str] = []
    context.on("weberror", lambda error: problems.append(str(error.error)))
    yield context
    context.close()
    assert not problems


def opened(context: Any, service: Served) -> Any:
    """The page, once its model has answered the golden picture."""
    page = context.new_page()
    page.goto(service.url + "/phone/")
    page.wait_for_selector("#photo:not([disabled])")
    return page


def answer(page: Any, data: bytes = RED, name: str = "red.png") -> list[str]:
    page.evaluate("document.getElementById('answer').replaceChildren()")
    page.set_input_files("#file", {"name": name, "mimeType": "application/octet-stream", "buffer": data})
    page.wait_for_selector("#answer .row, #answer .problem")
    return str(page.inner_text("#answer")).splitlines()


def compared(context: Any, service: Served) -> Any:
    page = context.new_page()
    page.goto(service.url + "/phone/conformance.html")
    page.wait_for_selector("#start:not([disabled])")
    return page


def pixels(page: Any, data: bytes) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """What the browser makes of a file: uint8 [crop * crop * 3]."""
    found = page.evaluate(
        """async (data) => {
            const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
            return [...(await window.classify(new Blob([bytes]), 1)).pixels];
        }""",
        base64.b64encode(data).decode(),
    )
    return np.array(found, dtype=np.uint8)


def test_a_picture_is_answered_on_the_phone(phone: Any, service: Served, tiny_bundle: Path) -> None:
    page = opened(phone, service)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    rows = answer(page)
    assert rows[0] == "red"
    assert rows[1].endswith("%")
    assert page.locator("#answer .row").count() == 3
    assert "ms: decode" in page.inner_text("#time")
    assert service.engine.ready().find(None).bundle.id == page.inner_text("#identity")
    assert "fp32, because the bundle has no other" in page.inner_text("#why")
    assert "recorded" in page.inner_text("#golden")
    assert [url for url in asked if not url.startswith("blob:")] == []


@pytest.mark.parametrize("colour", list(COLOURS))
def test_every_colour_is_told_apart(phone: Any, service: Served, colour: str) -> None:
    assert answer(opened(phone, service), encode(plain(colour, 60, 90), "JPEG"))[0] == colour


def test_it_works_without_a_network_once_it_was_loaded(phone: Any, service: Served) -> None:
    page = opened(phone, service)
    page.wait_for_selector("#offline[data-ready]")
    page.close()
    phone.set_offline(True)
    page = opened(phone, service)
    assert answer(page)[0] == "red"
    page.wait_for_selector("#offline[data-ready]")
    assert page.inner_text("#offline") == "works offline"
    phone.set_offline(False)


class Plain(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def plainly_hosted(root: Path) -> Iterator[str]:
    """The address of root/page at Python's own server, which sends no header of ours."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Plain, directory=str(root))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/page/"
        server.shutdown()


def test_a_host_that_knows_nothing_of_it_will_do(phone: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    """From the second visit the service worker adds the headers that threads need."""
    write_page(tiny_bundle, tmp_path / "page")
    with plainly_hosted(tmp_path) as url:
        page = phone.new_page()
        page.goto(url)
        page.wait_for_selector("#offline[data-ready]")
        assert page.evaluate("crossOriginIsolated") is False
        page.reload()
        page.wait_for_selector("#photo:not([disabled])")
        assert page.evaluate("crossOriginIsolated") is True
        assert answer(page)[0] == "red"


def test_a_new_bundle_that_does_not_load_leaves_the_old_one(phone: Any, tiny_bundle: Path, tmp_path: Path) -> None:
    write_page(tiny_bundle, tmp_path / "page")
    with plainly_hosted(tmp_path) as url:
        page = phone.new_page()
        page.goto(url)
        page.wait_for_selector("#offline[data-ready]")
        manifest = tmp_path / "page" / "bundle" / "manifest.json"
        digest = sha256_of(tmp_path / "page" / "bundle" / "model.onnx")
        manifest.write_text(manifest.read_text().replace(digest, "0" * 64))
        page.reload()
        page.wait_for_selector("#answer .problem")
    page.reload()  # the host is gone
    page.wait_for_selector("#photo:not([disabled])")
    assert answer(page)[0] == "red"
    assert page.inner_text("#identity") == sha256_of(tiny_bundle / "manifest.json")


def test_a_file_that_is_no_picture_is_told_in_a_sentence(phone: Any, service: Served) -> None:
    page = opened(phone, service)
    assert "cannot read the file as a picture" in answer(page, b"hello", "x.txt")[0]
    assert answer(page)[0] == "red"  # and the next one is answered


def test_a_changed_model_is_not_run(phone: Any, service: Served) -> None:
    phone.route("**/bundle/model.onnx*", lambda route: route.fulfill(body=b"other bytes", status=200))
    page = phone.new_page()
    page.goto(service.url + "/phone")
    page.wait_for_selector("#answer .problem")
    assert "is not the file that the manifest names" in page.inner_text("#answer")
    assert page.is_disabled("#photo")


FAST = "{ effectiveType: '4g', downlink: 20 }"


@pytest.mark.parametrize(
    ("connection", "precision", "why"),
    [
        ("undefined", "int8", "not known to be fast"),
        ("{ effectiveType: '3g', downlink: 20 }", "int8", "not known to be fast"),
        ("{ effectiveType: '4g', downlink: 20, saveData: true }", "int8", "not known to be fast"),
        (FAST, "fp32", "this connection is fast"),
    ],
)
def test_the_file_is_chosen_by_the_stated_rule(
    phone: Any, two_files: Served, connection: str, precision: str, why: str
) -> None:
    phone.add_init_script(f"Object.defineProperty(navigator, 'connection', {{ value: {connection} }})")
    page = opened(phone, two_files)
    assert page.inner_text("#why").startswith(f"Why this file: {precision}, because ")
    assert why in page.inner_text("#why")
    assert page.inner_text("#size").endswith(f"({precision})")


def test_the_users_choice_is_kept_and_only_its_file_stays(phone: Any, two_files: Served) -> None:
    page = opened(phone, two_files)
    assert "int8" in page.inner_text("#why")
    page.select_option("#wish", "fp32")
    page.wait_for_selector("body[data-precision=fp32] #photo:not([disabled])")
    assert answer(page)[0] == "red"
    page.select_option("#wish", "auto")  # before a reload too it is known what is kept
    page.wait_for_selector("body[data-precision=fp32] #photo:not([disabled])")
    page.select_option("#wish", "fp32")
    page.reload()
    page.wait_for_selector("#photo:not([disabled])")
    assert page.inner_text("#why") == "Why this file: fp32, because you chose it."
    kept = page.evaluate("caches.open('convoy-files').then((c) => c.keys()).then((k) => k.map((r) => r.url))")
    assert len([url for url in kept if ".onnx" in url]) == 1
    page.select_option("#wish", "auto")
    page.wait_for_selector("#photo:not([disabled])")
    assert "on this device already" in page.inner_text("#why")


def test_the_camera_is_answered_live(phone: Any, service: Served) -> None:
    page = opened(phone, service)
    page.tap("#camera")
    page.wait_for_selector("#answer .row")
    assert page.inner_text("#camera") == "Stop"
    page.tap("#camera")
    assert page.inner_text("#camera") == "Camera"
    assert page.is_hidden("#video")


def test_it_is_reached_by_keyboard_and_fits_both_ways(phone: Any, service: Served) -> None:
    page = opened(phone, service)
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached[:3] == ["camera", "photo", "wish"]
    answer(page)
    for name, size in (("portrait", PORTRAIT), ("landscape", {"width": 851, "height": 393})):
        page.set_viewport_size(size)
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        box = page.locator("#photo").bounding_box()
        assert box["height"] >= 48
        assert box["y"] + box["height"] <= size["height"]  # seen without scrolling
        if SHOTS:
            page.screenshot(path=Path(SHOTS) / f"phone-{name}.png")


@pytest.mark.parametrize("kind", ["service", "cubic"])
def test_its_pixels_are_pythons(phone: Any, kind: str, request: pytest.FixtureRequest) -> None:
    """Random sizes, both interpolations: enlarged, reduced, long and narrow."""
    running = request.getfixturevalue(kind)
    spec = running.engine.ready().find(None).bundle.manifest.preprocess
    page = compared(phone, running)
    generator = np.random.default_rng(7)
    for number in range(40):
        width, height = (int(size) for size in generator.integers(1, 3 + 12 * number, 2))
        data = encode(noise(width, height, number))
        expected = preprocess(decode(data), spec).ravel()
        assert np.array_equal(pixels(page, data), expected), (width, height)


def test_its_jpegs_are_pythons(phone: Any, service: Served) -> None:
    spec = service.engine.ready().find(None).bundle.manifest.preprocess
    page = compared(phone, service)
    for number, subsampling in enumerate((0, 1, 2)):
        data = encode(noise(200 + number, 133, number), "JPEG", quality=80, subsampling=subsampling)
        assert np.array_equal(pixels(page, data), preprocess(decode(data), spec).ravel()), subsampling


def test_the_conformance_kit_comes_out_as_recorded(phone: Any, service: Served) -> None:
    page = compared(phone, service)
    outcomes = {outcome["name"]: outcome for outcome in page.evaluate("window.conformance()")}
    assert len(outcomes) > 40
    unread = {name for name, outcome in outcomes.items() if outcome["problem"]}
    assert unread == {"plain.tif"}
    differing = {name for name, outcome in outcomes.items() if outcome["pixels"] and outcome["pixels"]["max"] > 0}
    assert differing <= KNOWN_TO_DIFFER
    for name in set(outcomes) - unread - KNOWN_TO_DIFFER:
        assert outcomes[name]["probability"] < 1e-5, name
        assert outcomes[name]["same"], name
    assert "1 cannot be read by this browser" in page.inner_text("#summary")
    assert page.locator("tbody tr").count() == len(outcomes)


def test_both_files_are_timed_by_turns(phone: Any, two_files: Served) -> None:
    page = compared(phone, two_files)
    script = """async (data) => {
        const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
        return window.timeFiles(new Blob([bytes]), 3, 2);
    }"""
    timing = page.evaluate(script, base64.b64encode(RED).decode())
    assert timing["threads"] == 2
    assert set(timing["rounds"]) == {"fp32", "int8"}
    for rounds in timing["rounds"].values():
        assert [one["infer"] > 0 for one in rounds] == [True] * 3


def test_a_picture_too_large_for_the_service_is_refused_here_too(phone: Any, service: Served) -> None:
    page = opened(phone, service)
    data = encode(Image.new("1", (8000, 6300)))
    assert "50 million are the limit" in answer(page, data)[0]
