"""The page in a real browser: Debian's chromium, without a display."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.page import FOLDER
from tests.browsers import SHOTS, browsing, needs_browser
from tests.pictures import encode, plain
from tests.service.conftest import Served, plainly_served
from tests.tiny import write_tiny_bundle

RED = encode(plain("red", 320, 240))


def test_the_page_loads_nothing_from_elsewhere(tiny_service: Served) -> None:
    response = tiny_service.get("/")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    for name in ("index.html", "page.css", "page.js"):
        text = (FOLDER / name).read_text()
        assert not re.search(r"https?://|@import|//cdn|eval\(|innerHTML", text), name
    assert "style=" not in response.text
    assert "onclick" not in response.text


@pytest.fixture(scope="module")
def service(tiny_bundle: Path) -> Iterator[Served]:
    with plainly_served(tiny_bundle) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with browsing() as running:
        yield running


@contextmanager
def opened(browser, service: Served, scheme: str, expected: str = "nothing"):
    """The page; at its end nothing has gone wrong in it but what has the text `expected`."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1100, "height": 900})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.goto(service.url)
    page.wait_for_selector("#model option", state="attached")
    page.scheme = scheme
    yield page
    context.close()
    assert not [text for text in problems if expected not in text]


@pytest.fixture(params=["light", "dark"])
def page(browser, service: Served, request: pytest.FixtureRequest):
    # The browser itself reports a 4xx as an error of the console.
    with opened(browser, service, request.param, "status of 415") as page:
        yield page


def first_label(page) -> str:
    page.wait_for_selector("#answer .row")
    return page.inner_text("#answer .row span >> nth=0")


def shot(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}-{page.scheme}.png", full_page=True)


@needs_browser
def test_a_chosen_file_is_answered_with_bars_stages_and_the_bundle(page, service: Served) -> None:
    page.set_input_files("#file", {"name": "red.png", "mimeType": "image/png", "buffer": RED})
    assert first_label(page) == "red"
    assert page.locator("#answer .row").count() == 3
    assert float(page.get_attribute("#answer meter >> nth=0", "value")) > 0.5
    assert page.inner_text("#stages dt >> nth=3") == "infer"
    assert page.inner_text("#stages dt >> nth=4") == "round trip"
    assert service.engine.ready().find(None).bundle.id in page.inner_text("#identity")
    assert page.get_attribute("#preview", "alt") == "Your picture red.png"
    shot(page, "answer")


@needs_browser
@pytest.mark.parametrize("how", ["paste", "drop"])
def test_a_picture_may_be_pasted_or_dropped(page, how: str) -> None:
    page.evaluate(
        """([how, data]) => {
            const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "red.png", { type: "image/png" }));
            document.body.dispatchEvent(how === "paste"
                ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
                : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }""",
        [how, base64.b64encode(RED).decode()],
    )
    assert first_label(page) == "red"


@needs_browser
def test_a_picture_may_be_taken(page) -> None:
    page.click("#camera")
    page.click("#shoot")  # enabled with the first frame
    page.wait_for_selector("#answer .row")
    assert page.get_attribute("#preview", "alt") == "Your picture"


@needs_browser
def test_a_problem_is_told_in_its_own_words(page) -> None:
    page.set_input_files("#file", {"name": "x.txt", "mimeType": "text/plain", "buffer": b"hello"})
    page.wait_for_selector("#answer .problem")
    assert "not an image of a type that is read here" in page.inner_text("#answer")
    assert not page.is_visible("#stages")
    shot(page, "problem")


@needs_browser
def test_everything_is_reached_by_the_keyboard(page) -> None:
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    for name in ("model", "API", "choose", "camera", "tab-curl", "copy", "code"):
        assert name in reached
    page.focus("#tab-curl")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-python"
    assert "import httpx" in page.inner_text("#code")
    page.keyboard.press("ArrowRight")
    assert "await fetch" in page.inner_text("#code")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


@needs_browser
def test_the_snippets_name_this_service_and_the_chosen_model(page, service: Served) -> None:
    url = f"{service.url}/models/tiny/versions/1/predict"
    assert page.inner_text("#code") == f"curl --data-binary @photo.jpg '{url}'"
    assert service.post(RED, "/models/tiny/versions/1/predict").json()["predictions"][0]["label"] == "red"


@needs_browser
def test_the_text_has_enough_contrast(page) -> None:
    """WCAG AA, 4.5:1, of the quiet text and of the selected tab."""
    ratio = """(selector) => {
        const light = (text) => text.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
            .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const node = document.querySelector(selector);
        let ground = node;
        while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
        const [a, b] = [light(getComputedStyle(node).color), light(getComputedStyle(ground).backgroundColor)];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    }"""
    for selector in (".quiet", "h1", "a", "[aria-selected=true]", "#copy", "pre"):
        assert page.evaluate(ratio, selector) >= 4.5, selector


@pytest.fixture(scope="module")
def explaining(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with plainly_served(write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", explains=True)) as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def explained(browser, explaining: Served, request: pytest.FixtureRequest):
    with opened(browser, explaining, request.param) as page:
        yield page


@needs_browser
def test_the_keyboard_asks_where_it_looked_and_the_heat_lies_over_the_crop(explained) -> None:
    page = explained
    assert not page.is_visible("#explain")
    page.set_input_files("#file", {"name": "red.png", "mimeType": "image/png", "buffer": RED})
    assert first_label(page) == "red"
    assert not page.is_visible("#heat")
    page.focus("#explain")
    page.keyboard.press("Space")
    page.wait_for_selector("#heat", state="visible")
    assert page.get_attribute("#heat", "alt") == "Heat map of red over your picture"
    assert "Brightest where it saw red" in page.inner_text("#seen")
    picture, heat = page.locator("#preview").bounding_box(), page.locator("#heat").bounding_box()
    # 320 x 240 becomes 13 x 10, of which the network sees 8 x 8 from (2, 1).
    found = [
        (heat["x"] - picture["x"]) / picture["width"],
        (heat["y"] - picture["y"]) / picture["height"],
        heat["width"] / picture["width"],
        heat["height"] / picture["height"],
    ]
    assert found == pytest.approx([2 / 13, 1 / 10, 8 / 13, 8 / 10], abs=0.01)
    shot(page, "explained")
    page.keyboard.press("Space")
    assert not page.is_visible("#heat")
    assert not page.is_visible("#seen")
    page.keyboard.press("Space")
    assert page.is_visible("#heat")


@needs_browser
def test_a_next_picture_is_explained_in_one_request(explained) -> None:
    page = explained
    page.set_input_files("#file", {"name": "red.png", "mimeType": "image/png", "buffer": RED})
    first_label(page)
    page.check("#explain")
    page.wait_for_selector("#heat", state="visible")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "POST" else None)
    blue = encode(plain("blue", 100, 100))
    page.set_input_files("#file", {"name": "blue.png", "mimeType": "image/png", "buffer": blue})
    page.wait_for_selector("#heat[alt='Heat map of blue over your picture']", state="visible")
    assert [url.rpartition("?")[2] for url in asked] == ["explain=true"]


@needs_browser
def test_a_model_that_cannot_explain_offers_no_heat(page) -> None:
    page.set_input_files("#file", {"name": "red.png", "mimeType": "image/png", "buffer": RED})
    first_label(page)
    assert not page.is_visible("#explain")


@needs_browser
def test_it_fits_a_phone(browser, service: Served) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    opened = context.new_page()
    opened.goto(service.url)
    opened.set_input_files("#file", {"name": "red.png", "mimeType": "image/png", "buffer": RED})
    opened.wait_for_selector("#answer .row")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    if SHOTS:
        opened.screenshot(path=Path(SHOTS) / "phone.png", full_page=True)
    context.close()
