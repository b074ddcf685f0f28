"""The Open Inference Protocol, asked by hand and by Triton's unmodified client."""

from __future__ import annotations

import base64
import json
import struct
from contextlib import suppress
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundle.image import decode
from bundle.preprocess import preprocess
from service import oip
from service.errors import RequestError
from tests.pictures import COLOURS, encode, plain
from tests.service.conftest import Served
from tests.tiny import LABELS, SPEC, probabilities_of

PICTURES = [encode(plain(colour)) for colour in COLOURS]
PIXELS = np.stack([preprocess(decode(data), SPEC) for data in PICTURES])
EXPECTED = np.stack([probabilities_of(pixels) for pixels in PIXELS])
INFER = "/v2/models/tiny/infer"


def document(tensor: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": [tensor], **more}).encode()


def binary(head: bytes, data: bytes) -> dict[str, Any]:
    return {"content": head + data, "headers": {"Inference-Header-Content-Length": str(len(head))}}


def elements(*pictures: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(data)) + data for data in pictures)


IMAGE = {"name": "image", "datatype": "UINT8", "shape": [3, 8, 8, 3]}
ENCODED = {"name": "encoded", "datatype": "BYTES", "shape": [3]}
BINARY = elements(*PICTURES)
FORMS = {
    "UINT8 flat": {"content": document({**IMAGE, "data": PIXELS.ravel().tolist()})},
    "UINT8 nested": {"content": document({**IMAGE, "data": PIXELS.tolist()})},
    "UINT8 binary": binary(document({**IMAGE, "parameters": {"binary_data_size": PIXELS.nbytes}}), PIXELS.tobytes()),
    "BYTES base64": {"content": document({**ENCODED, "data": [base64.b64encode(p).decode() for p in PICTURES]})},
    "BYTES binary": binary(document({**ENCODED, "parameters": {"binary_data_size": len(BINARY)}}), BINARY),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", [INFER, "/v2/models/tiny/versions/1/infer"])
def test_every_form_of_a_batch_gives_the_same_probabilities(tiny_service: Served, form: str, path: str) -> None:
    response = httpx.post(tiny_service.url + path, **FORMS[form])
    assert response.status_code == 200, response.text
    body = response.json()
    assert (body["model_name"], body["model_version"]) == ("tiny", "1")
    (output,) = body["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("probabilities", "FP32", [3, 3])
    np.testing.assert_allclose(np.reshape(output["data"], (3, 3)), EXPECTED, atol=1e-6)


def test_binary_output_follows_the_json(tiny_service: Served) -> None:
    content = document({**IMAGE, "data": PIXELS.ravel().tolist()}, id="a", parameters={"binary_data_output": True})
    response = httpx.post(tiny_service.url + INFER, content=content)
    length = int(response.headers["inference-header-content-length"])
    head = json.loads(response.content[:length])
    assert head["id"] == "a"
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 36}
    found = np.frombuffer(response.content[length:], "<f4").reshape(3, 3)
    np.testing.assert_allclose(found, EXPECTED, atol=1e-6)


def test_metadata_and_health(tiny_service: Served) -> None:
    assert tiny_service.get("/v2").json()["extensions"] == ["binary_tensor_data", "classification"]
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready", "/v2/models/tiny/versions/1/ready"):
        assert tiny_service.get(path).status_code == 200
    for path in ("/v2/models/nobody/ready", "/v2/models/tiny/versions/9", "/v2/models/nobody"):
        response = tiny_service.get(path)
        assert (response.status_code, "error" in response.json()) == (404, True)
    assert tiny_service.get("/v2/models/tiny").json()["inputs"][1]["shape"] == [-1, 8, 8, 3]


BROKEN = {
    "no JSON": b"hello",
    "too deep": b"[" * 100_000,
    "no inputs": b"{}",
    "no input": document(IMAGE).replace(b'"inputs": [', b'"inputs": [], "x": ['),
    "two inputs": json.dumps({"inputs": [IMAGE, IMAGE]}).encode(),
    "no data": document(IMAGE),
    "wrong name": document({**IMAGE, "name": "pixels", "data": [0]}),
    "wrong type": document({**IMAGE, "datatype": "FP32", "data": [0.0]}),
    "wrong shape": document({**IMAGE, "shape": [3, 9, 8, 3], "data": [0]}),
    "too few": document({**IMAGE, "data": [0]}),
    "too large a number": document({**IMAGE, "data": [256] * 576}),
    "a huge number": document({**IMAGE, "data": [2**70] * 576}),
    "negative": document({**IMAGE, "data": [-1] * 576}),
    "fractions": document({**IMAGE, "data": [0.5] * 576}),
    "ragged": document({**IMAGE, "data": [[1], [1, 2]]}),
    "text": document({**IMAGE, "data": ["x"] * 576}),
    "empty batch": document({**IMAGE, "shape": [0, 8, 8, 3], "data": []}),
    "no base64": document({**ENCODED, "shape": [1], "data": ["?"]}),
    "numbers as BYTES": document({**ENCODED, "shape": [1], "data": [1]}),
    "size without bytes": document({**IMAGE, "parameters": {"binary_data_size": 5}}),
    "unknown output": document({**IMAGE, "data": [0] * 576}, outputs=[{"name": "scores"}]),
    "negative classes": document(
        {**IMAGE, "data": [0] * 576}, outputs=[{"name": "probabilities", "parameters": {"classification": -1}}]
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_request_is_400(tiny_service: Served, name: str) -> None:
    response = httpx.post(tiny_service.url + INFER, content=BROKEN[name])
    assert response.status_code == 400, response.text
    assert response.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "99999", "9" * 40, ""])
def test_a_wrong_length_of_the_json_is_400(tiny_service: Served, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length}
    assert tiny_service.post(FORMS["UINT8 flat"]["content"], INFER, headers=headers).status_code == 400


def test_a_compressed_body_is_415_and_too_many_items_413(tiny_service: Served) -> None:
    assert tiny_service.post(b"x", INFER, headers={"content-encoding": "gzip"}).status_code == 415
    many = document({**IMAGE, "shape": [65, 8, 8, 3], "data": [0]})
    assert tiny_service.post(many, INFER).status_code == 413


def test_one_bad_picture_is_the_requests_error(tiny_service: Served) -> None:
    data = elements(PICTURES[0], b"hello", PICTURES[2])
    form = binary(document({**ENCODED, "parameters": {"binary_data_size": len(data)}}), data)
    assert httpx.post(tiny_service.url + INFER, **form).status_code == 415


def parsed(body: bytes, length: int | None) -> None:
    with suppress(RequestError):
        call = oip.parse(body, length, (8, 8, 3), 64)
        assert all(isinstance(source, bytes) or source.shape == (8, 8, 3) for source in call.sources)


@settings(max_examples=300)
@given(st.data())
def test_damaged_requests_are_understood_or_refused(data: st.DataObject) -> None:
    form = FORMS[data.draw(st.sampled_from(sorted(FORMS)))]
    body = bytearray(form["content"])
    for _ in range(data.draw(st.integers(1, 8))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    length = data.draw(st.one_of(st.none(), st.integers(0, len(body) + 5)))
    declared = int(form.get("headers", {}).get("Inference-Header-Content-Length", len(body)))
    parsed(bytes(body), length if data.draw(st.booleans()) else declared)


@pytest.fixture(scope="module")
def triton(tiny_service: Served):
    """tritonclient[http] as it comes from the index."""
    http = pytest.importorskip("tritonclient.http")
    client = http.InferenceServerClient(tiny_service.url.removeprefix("http://"))
    yield client
    client.close()


def test_triton_health_and_metadata(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("tiny")
    assert triton.is_model_ready("tiny", "1")
    assert not triton.is_model_ready("nobody")
    assert "classification" in triton.get_server_metadata()["extensions"]
    assert triton.get_model_metadata("tiny")["outputs"][0]["shape"] == [-1, 3]


@pytest.mark.parametrize("as_binary", [True, False])
def test_triton_tensors(triton: Any, as_binary: bool) -> None:
    from tritonclient.http import InferInput, InferRequestedOutput

    tensor = InferInput("image", list(PIXELS.shape), "UINT8")
    tensor.set_data_from_numpy(PIXELS, binary_data=as_binary)
    wanted = [InferRequestedOutput("probabilities", binary_data=as_binary)]
    result = triton.infer("tiny", [tensor], outputs=wanted, request_id="7")
    np.testing.assert_allclose(result.as_numpy("probabilities"), EXPECTED, atol=1e-6)
    assert result.get_response()["id"] == "7"


@pytest.mark.parametrize("as_binary", [True, False])
def test_triton_encoded_pictures_and_classification(triton: Any, as_binary: bool) -> None:
    from tritonclient.http import InferInput, InferRequestedOutput

    tensor = InferInput("encoded", [3], "BYTES")
    tensor.set_data_from_numpy(np.array(PICTURES, dtype=np.object_), binary_data=True)
    wanted = [InferRequestedOutput("probabilities", binary_data=as_binary, class_count=2)]
    found = triton.infer("tiny", [tensor], outputs=wanted).as_numpy("probabilities")
    assert found.shape == (3, 2)
    for row, expected in zip(found, EXPECTED, strict=True):
        best = row[0].decode() if isinstance(row[0], bytes) else str(row[0])
        probability, index, label = best.split(":")
        assert (int(index), label) == (expected.argmax(), LABELS[expected.argmax()])
        assert float(probability) == pytest.approx(float(expected.max()), abs=1e-5)


def test_triton_an_error_reaches_the_caller_in_words(triton: Any) -> None:
    from tritonclient.http import InferInput
    from tritonclient.utils import InferenceServerException

    tensor = InferInput("encoded", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"hello"], dtype=np.object_))
    with pytest.raises(InferenceServerException, match="not an image of a type that is read here"):
        triton.infer("tiny", [tensor])


def test_a_request_keeps_its_place_while_it_is_parsed(tiny_service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    counted, parse = [], oip.parse

    def spy(*arguments: Any) -> oip.Call:
        counted.append(tiny_service.engine.admission.pictures)
        return parse(*arguments)

    monkeypatch.setattr("service.oip.parse", spy)
    form = next(iter(FORMS.values()))
    assert httpx.post(tiny_service.url + INFER, **form).status_code == 200
    assert counted == [1]
