"""explain=true: the same answer, and a picture of where it was seen, at the right place of the client's own."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bundle.manifest import Preprocess
from bundle.preprocess import crop_share, preprocess
from service.engine import Engine, Outcome
from service.errors import AnswerNotFinite
from service.explanation import OPACITY, Explained, explainer, heat_png
from service.patience import Patience
from service.settings import Settings
from tests.pictures import COLOURS, encode, plain
from tests.service.conftest import Served, new_engine, served
from tests.tiny import CROP, probabilities_of, write_tiny_bundle

RED = encode(plain("red", 40, 20))
PICTURES = [encode(plain(list(COLOURS)[n % 3], seed=n)) for n in range(12)]
ROUTES = ("/predict", "/models/tiny/predict", "/models/tiny/versions/1/predict")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny", explains=True)


@pytest.fixture(scope="module", params=["off", 8])
def engine(bundle: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each picture by itself, and in batches."""
    found = new_engine()
    found.start(Settings(models=bundle, batching=request.param, threads=2, max_wait=25, queue=512)).join()
    found.ready()
    yield found
    found.stop()


@pytest.fixture
def service(engine: Engine) -> Iterator[Served]:
    with served(engine) as running:
        yield running


def opened(explanation: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(explanation["png"])))


def half_red() -> bytes:
    """Red at the left, black at the right."""
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, :20, 0] = 255
    return encode(Image.fromarray(pixels))


@pytest.mark.parametrize("route", ROUTES)
def test_it_explains_the_first_answer(service: Served, route: str) -> None:
    plainly = service.post(half_red(), route).json()
    response = service.post(half_red(), f"{route}?explain=true")
    assert response.status_code == 200
    answer = response.json()
    explanation = answer.pop("explanation")
    assert answer == plainly
    assert (explanation["label"], explanation["index"]) == (answer["predictions"][0]["label"], 2)
    image = opened(explanation)
    assert image.size == (explanation["width"], explanation["height"]) == (CROP, CROP)
    alpha = np.asarray(image.convert("RGBA"))[..., 3]
    assert alpha[:, 0].min() >= OPACITY - 8
    assert alpha[:, -1].max() <= 8
    assert "explain;dur=" in response.headers["server-timing"]


def test_without_the_question_there_is_no_explanation(service: Served) -> None:
    for query in ("", "?explain=false"):
        response = service.post(RED, f"/predict{query}")
        assert "explanation" not in response.json()
        assert "explain" not in response.headers["server-timing"]


def test_a_form_may_ask_for_it(service: Served) -> None:
    import httpx

    response = httpx.post(f"{service.url}/predict?explain=true&top_k=1", files={"image": RED})
    assert response.json()["explanation"]["label"] == "red"
    assert len(response.json()["predictions"]) == 1


@pytest.mark.parametrize("value", ["", "1", "yes", "True", "true ", "x" * 500])
def test_another_value_is_a_problem(service: Served, value: str) -> None:
    response = service.post(RED, "/predict", params={"explain": value})
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert "parameter explain is" in response.json()["detail"]
    assert len(response.text) < 1000


def test_a_model_without_a_map_says_so(tiny_service: Served) -> None:
    response = tiny_service.post(RED, "/predict?explain=true")
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"
    assert "tiny 1 was exported without a class map" in response.json()["detail"]
    assert tiny_service.post(RED, "/predict?explain=false").status_code == 200
    assert tiny_service.get("/models").json()["models"][0]["explains"] is False


def test_models_say_whether_they_explain(service: Served) -> None:
    assert service.get("/models/tiny").json()["explains"] is True


def test_a_bad_picture_is_the_same_problem(service: Served) -> None:
    plainly, explained = (service.post(b"hello", f"/predict{query}") for query in ("", "?explain=true"))
    assert explained.status_code == plainly.status_code == 415
    assert explained.json() == plainly.json()


def test_the_stage_is_counted(service: Served) -> None:
    service.post(RED, "/predict?explain=true")
    assert 'convoy_stage_seconds_count{model="tiny",stage="explain"}' in service.get("/metrics").text


@settings(max_examples=25)
@given(wishes=st.lists(st.tuples(st.integers(0, len(PICTURES) - 1), st.booleans()), min_size=1, max_size=24))
def test_answers_do_not_depend_on_who_explains(engine: Engine, wishes: list[tuple[int, bool]]) -> None:
    """Nobody's answer changes by asking for a map, nor by a neighbour in the batch who does."""
    model = engine.ready().find(None)
    explain = explainer(model.bundle.manifest)

    async def one(number: int, wanted: bool) -> Outcome:
        patience = Patience(None, engine.settings)
        answer = engine.answer(model, [PICTURES[number]], np.copy, patience, explain if wanted else None)
        return (await answer)[0]

    async def scenario() -> list[Outcome]:
        return await asyncio.gather(*(one(*wish) for wish in wishes))

    for (number, wanted), outcome in zip(wishes, asyncio.run(scenario()), strict=True):
        assert outcome.error is None
        assert isinstance(outcome.answer, Explained) == wanted
        answer = outcome.answer.answer if isinstance(outcome.answer, Explained) else outcome.answer
        expected = probabilities_of(preprocess(Image.open(io.BytesIO(PICTURES[number])), model._spec))
        np.testing.assert_allclose(answer, expected, atol=1e-6)
        if isinstance(outcome.answer, Explained):
            assert outcome.answer.explanation["index"] == int(expected.argmax())


@settings(max_examples=200)
@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    resize=st.integers(8, 64),
    margin=st.integers(0, 7),
)
def test_the_crop_is_a_part_of_the_picture(width: int, height: int, resize: int, margin: int) -> None:
    spec = Preprocess(resize=resize, crop=resize - margin, mean=(0, 0, 0), std=(1, 1, 1))
    left, top, wide, high = crop_share((width, height), spec)
    assert left >= 0 <= top
    assert 0 < wide <= 1 - left + 1e-9
    assert 0 < high <= 1 - top + 1e-9
    # A square of the picture, up to the rounding to whole pixels, in its middle.
    assert wide * width == pytest.approx(high * height, rel=1 / resize)
    assert left + wide / 2 == pytest.approx(0.5, abs=1 / resize)
    assert top + high / 2 == pytest.approx(0.5, abs=1 / resize)


def test_the_place_is_that_of_the_upright_picture(service: Served) -> None:
    """A phone's picture lies on its side: it has 40 x 20 pixels and is shown as 20 x 40."""
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    plain("red", 40, 20).save(stream, "JPEG", exif=exif)
    crop = service.post(stream.getvalue(), "/predict?explain=true").json()["explanation"]["crop"]
    assert crop["width"] == pytest.approx(0.8)
    assert crop["height"] == pytest.approx(0.4)
    assert (crop["left"], crop["top"]) == pytest.approx((0.1, 0.3))


def test_the_palette_index_is_the_heat() -> None:
    image = Image.open(io.BytesIO(heat_png(np.array([[0, 1], [2, 4]], np.float32), (2, 2))))
    assert image.mode == "P"
    assert np.asarray(image).tolist() == [[0, 64], [128, 255]]
    assert np.asarray(image.convert("RGBA"))[..., 3].tolist() == [[0, 45], [90, OPACITY]]


def test_a_map_of_zeros_is_clear() -> None:
    image = Image.open(io.BytesIO(heat_png(np.zeros((7, 7), np.float32), (30, 20))))
    assert image.size == (30, 20)
    assert np.asarray(image.convert("RGBA"))[..., 3].max() == 0


def test_a_map_that_is_no_number_is_the_models_fault() -> None:
    with pytest.raises(AnswerNotFinite):
        heat_png(np.array([[np.nan]], np.float32), (2, 2))
