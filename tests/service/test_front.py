from __future__ import annotations

import json
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from bundle.folder import open_bundle
from bundle.image import decode
from bundle.preprocess import preprocess
from service.front import Front
from service.settings import Settings
from tests.pictures import COLOURS, encode, noise, plain
from tests.service.conftest import Served, new_engine, served
from tests.service.devices import Held, loaded
from tests.tiny import LABELS, SPEC, probabilities_of

RED = encode(plain("red"))


def problem_of(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["detail"]


@pytest.mark.parametrize("label", COLOURS)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_multipart_and_raw_bodies_give_the_same_answer(tiny_service: Served, label: str, format: str) -> None:
    data = encode(plain(label), format)
    raw = tiny_service.post(data)
    form = httpx.post(tiny_service.url + "/predict", files={"image": ("x.jpg", data, "image/jpg")})
    assert raw.status_code == form.status_code == 200
    assert raw.json() == form.json()
    assert raw.json()["predictions"][0]["label"] == label


def test_the_answer_has_the_bundle_and_the_exact_probabilities(tiny_service: Served, tiny_bundle: Path) -> None:
    answer = tiny_service.post(RED).json()
    assert (answer["model"], answer["version"], answer["bundle"]) == ("tiny", "1", open_bundle(tiny_bundle).id)
    expected = probabilities_of(preprocess(decode(RED), SPEC))
    for prediction in answer["predictions"]:
        assert prediction["label"] == LABELS[prediction["index"]]
        assert prediction["probability"] == pytest.approx(float(expected[prediction["index"]]), abs=1e-6)


@pytest.mark.parametrize("content_type", [None, "application/octet-stream", "application/x-www-form-urlencoded", "a/b"])
def test_the_claimed_type_of_a_raw_body_does_not_matter(tiny_service: Served, content_type: str | None) -> None:
    headers = {"content-type": content_type} if content_type else {}
    assert tiny_service.post(RED, headers=headers).json()["predictions"][0]["label"] == "red"


@pytest.mark.parametrize(("k", "count"), [(1, 1), (2, 2), (3, 3), (1000, 3)])
def test_top_k(tiny_service: Served, k: int, count: int) -> None:
    assert len(tiny_service.post(RED, f"/predict?top_k={k}").json()["predictions"]) == count


def test_top_k_may_be_a_form_field_and_the_query_wins(tiny_service: Served) -> None:
    form = {"data": {"top_k": "1"}, "files": {"image": ("x.png", RED)}}
    assert len(httpx.post(tiny_service.url + "/predict", **form).json()["predictions"]) == 1
    assert len(httpx.post(tiny_service.url + "/predict?top_k=2", **form).json()["predictions"]) == 2
    form["data"] = {"top_k": "many"}
    assert problem_of(httpx.post(tiny_service.url + "/predict", **form))[0] == 400


@pytest.mark.parametrize("k", ["0", "-1", "x", "1.5", "", "1001", "9" * 50, "²", "٣", "1e2"])
def test_a_wrong_top_k_is_400(tiny_service: Served, k: str) -> None:
    response = httpx.post(tiny_service.url + "/predict", params={"top_k": k}, content=RED)
    status, detail = problem_of(response)
    assert (status, "from 1 to 1000" in detail) == (400, True)


@pytest.mark.parametrize(
    ("query", "status"),
    [("model=tiny", 200), ("model=tiny&version=1", 200), ("model=tinny", 404), ("version=2", 404)],
)
def test_model_and_version(tiny_service: Served, query: str, status: int) -> None:
    response = tiny_service.post(RED, f"/predict?{query}")
    assert response.status_code == status
    if status == 404:
        assert "tiny" in problem_of(response)[1] or "version '2'" in problem_of(response)[1]


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "empty"),
        (b"hello", 415, "not an image of a type that is read here: expected one of JPEG, PNG, WEBP, BMP, GIF"),
        (encode(noise(300, 200), "JPEG")[:900], 422, "truncated"),
        (encode(noise(20, 20), "TIFF"), 415, "not an image"),
        (b"x" * 200_001, 413, "larger than 200000 bytes"),
    ],
)
def test_bad_bodies(tiny_service: Served, body: bytes, status: int, detail: str) -> None:
    found, text = problem_of(tiny_service.post(body))
    assert found == status
    assert detail in text
    assert tiny_service.post(RED).status_code == 200


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 500, b"x"),
    ],
)
def test_bad_forms_are_400(tiny_service: Served, content_type: str, body: bytes) -> None:
    assert problem_of(tiny_service.post(body, headers={"content-type": content_type}))[0] == 400


def test_a_field_with_a_url_is_not_fetched(tiny_service: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as trap:
        trap.settimeout(0.5)
        url = f"http://127.0.0.1:{trap.getsockname()[1]}/picture.jpg"
        for response in (
            httpx.post(tiny_service.url + "/predict", files={"image": (None, url)}),
            httpx.post(tiny_service.url + "/predict", json={"image": url}),
        ):
            assert response.status_code == 415
        with pytest.raises(TimeoutError):
            trap.accept()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_another_method_is_405(tiny_service: Served, method: str) -> None:
    response = httpx.request(method, tiny_service.url + "/predict")
    assert problem_of(response)[0] == 405
    assert response.headers["allow"] == "POST"


def test_a_method_that_is_none_is_refused_by_the_server(tiny_service: Served) -> None:
    assert httpx.request("NONSENSE", tiny_service.url + "/predict").status_code == 400


@pytest.mark.parametrize(
    "path", ["/nope", "/predict/", "/predict/submit", "/models/", "/metrics/x", "/%00", "//", "/..%2f"]
)
def test_other_paths_are_404(tiny_service: Served, path: str) -> None:
    assert problem_of(tiny_service.get(path))[0] == 404
    assert problem_of(tiny_service.post(RED, path))[0] in (404, 405)


@pytest.mark.parametrize("path", ["/docs", "/schema.json", "/static_content/index.css"])
def test_bentomls_pages_are_passed_on(tiny_service: Served, path: str) -> None:
    assert tiny_service.get(path).text == "BentoML's own page"


def test_models(tiny_service: Served, tiny_bundle: Path) -> None:
    (model,) = tiny_service.get("/models").json()["models"]
    assert (model["name"], model["classes"], model["target"]) == ("tiny", 3, "onnx")
    whole = tiny_service.get("/models/tiny").json()
    manifest = open_bundle(tiny_bundle).manifest
    assert whole["labels"] == list(manifest.labels)
    assert whole["metrics"] == manifest.metrics.model_dump(mode="json")  # type: ignore[union-attr]
    assert whole["preprocess"] == manifest.preprocess.model_dump(mode="json")
    assert problem_of(tiny_service.get("/models/tinny"))[0] == 404


def test_health(tiny_service: Served, tiny_bundle: Path) -> None:
    assert tiny_service.get("/livez").json() == {"status": "live"}
    assert tiny_service.get("/healthz").status_code == 200
    assert tiny_service.get("/readyz").json()["models"][0]["bundle"] == open_bundle(tiny_bundle).id


def test_metrics_count_by_route_and_never_by_path(tiny_service: Served) -> None:
    for number in range(5):
        tiny_service.get(f"/made-up-{number}")
    tiny_service.post(RED)
    text = tiny_service.get("/metrics").text
    assert "made-up" not in text
    assert 'convoy_requests_total{method="GET",route="other",status="404"}' in text
    assert 'convoy_requests_total{method="POST",route="/predict",status="200"}' in text
    for stage in ("queue", "decode", "preprocess", "infer", "total"):
        assert f'convoy_stage_seconds_count{{model="tiny",stage="{stage}"}}' in text
    assert f'bundle="{open_bundle(tiny_service.engine.settings.models).id}"' in text


def test_a_declared_length_is_refused_before_the_body(tiny_service: Served) -> None:
    with socket.create_connection(("127.0.0.1", tiny_service.port), timeout=5) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 413")


def test_an_undeclared_length_is_refused_while_reading(tiny_service: Served) -> None:
    with socket.create_connection(("127.0.0.1", tiny_service.port), timeout=5) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(4):
            connection.sendall(chunk)
        assert connection.recv(20).startswith(b"HTTP/1.1 413")


def test_a_slow_upload_is_ended_and_holds_nobody_up(tiny_bundle: Path) -> None:
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, timeout=2, batching="off")).join()
    with served(engine) as service, socket.create_connection(("127.0.0.1", service.port), timeout=5) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nslow")
        assert service.post(RED).status_code == 200
        assert connection.recv(20).startswith(b"HTTP/1.1 408")


def test_a_client_that_leaves_is_counted_and_harms_nobody(tiny_service: Served) -> None:
    with socket.create_connection(("127.0.0.1", tiny_service.port), timeout=5) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        assert tiny_service.post(RED).status_code == 200
    counted = threading.Event()
    for _ in range(100):
        if 'status="499"' in tiny_service.get("/metrics").text:
            counted.set()
            break
        counted.wait(0.02)
    assert counted.is_set()
    assert "convoy_requests_in_progress 1.0" in tiny_service.get("/metrics").text


def test_concurrent_requests_get_their_own_answers(tiny_service: Served) -> None:
    order = random.Random(0)
    wanted = [order.choice(list(COLOURS)) for _ in range(200)]

    def ask(numbered: tuple[int, str]) -> str:
        number, label = numbered
        answer = tiny_service.post(encode(plain(label, seed=number))).json()
        return str(answer["predictions"][0]["label"])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, enumerate(wanted))) == wanted


def test_an_internal_error_is_a_500_without_details(tiny_service: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr("service.model.preprocess", fail)
    response = tiny_service.post(RED)
    assert problem_of(response)[0] == 500
    assert "secret" not in response.text


def test_nothing_but_json_leaves_the_service(tiny_service: Served) -> None:
    assert json.loads(tiny_service.post(RED).content)["predictions"]


def test_a_full_house_refuses_before_the_body(tiny_bundle: Path) -> None:
    engine = new_engine()
    engine.start(Settings(models=tiny_bundle, threads=1, queue=1, batching="off")).join()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with served(engine) as service:
        uploads = [socket.create_connection(("127.0.0.1", service.port), timeout=5) for _ in range(2)]
        for connection in uploads:
            connection.sendall(head + b"begun")
        while engine.admission.pictures < 2:
            assert service.get("/livez").status_code == 200
        with socket.create_connection(("127.0.0.1", service.port), timeout=5) as third:
            third.sendall(head)
            assert third.recv(20).startswith(b"HTTP/1.1 429")
        for connection in uploads:
            connection.close()
        while engine.admission.pictures:
            assert service.get("/livez").status_code == 200
        assert service.post(RED).status_code == 200


def batch_of(*pictures: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("images", (f"{number}.png", data)) for number, data in enumerate(pictures)]


def test_a_batch_has_one_result_or_problem_per_picture_in_order(tiny_service: Served) -> None:
    blue = encode(plain("blue"))
    response = httpx.post(tiny_service.url + "/predict_batch?top_k=1", files=batch_of(RED, b"hello", blue, b""))
    body = response.json()
    assert response.status_code == 200
    assert body["bundle"]
    first, second, third, fourth = body["results"]
    assert first["predictions"] == tiny_service.post(RED, "/predict?top_k=1").json()["predictions"]
    assert third["predictions"][0]["label"] == "blue"
    assert (second["problem"]["status"], fourth["problem"]["status"]) == (415, 400)
    assert "expected one of JPEG" in second["problem"]["detail"]


def test_a_batch_has_limits(tiny_service: Served) -> None:
    url = tiny_service.url + "/predict_batch"
    assert problem_of(httpx.post(url, content=RED))[0] == 400
    assert problem_of(httpx.post(url, files={"image": RED}))[0] == 400
    status, detail = problem_of(httpx.post(url, files=batch_of(*[RED] * 65)))
    assert (status, "more than 64 images" in detail) == (413, True)
    assert problem_of(httpx.post(url, files=batch_of(RED, b"x" * 200_001)))[0] == 413
    assert len(httpx.post(url, files=batch_of(*[RED] * 64)).json()["results"]) == 64


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "nan", "inf", "1" * 30, ""])
def test_a_wrong_timeout_is_400(tiny_service: Served, seconds: str) -> None:
    status, detail = problem_of(tiny_service.post(RED, headers={"x-request-timeout": seconds}))
    assert (status, "X-Request-Timeout" in detail) == (400, True)


def test_who_cannot_be_answered_in_time_is_refused_at_once(tiny_service: Served) -> None:
    response = tiny_service.post(RED, headers={"x-request-timeout": "0.000001"})
    assert problem_of(response)[0] == 429
    assert response.headers["retry-after"] == "1"
    assert tiny_service.post(RED, headers={"x-request-timeout": "5"}).status_code == 200
    assert 'convoy_shed_total{reason="time"}' in tiny_service.get("/metrics").text


def test_the_stages_are_in_the_answers_header(tiny_service: Served) -> None:
    timing = tiny_service.post(RED).headers["server-timing"]
    assert [part.split(";")[0] for part in timing.split(", ")] == ["queue", "decode", "preprocess", "infer"]


def test_a_client_that_leaves_takes_its_work_with_it(tiny_bundle: Path) -> None:
    held = Held()
    engine = new_engine()
    with loaded(held):
        engine.start(Settings(models=tiny_bundle, threads=1, batching="off")).join()
    held.hold()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(RED)
    with served(engine) as service:
        connections = [socket.create_connection(("127.0.0.1", service.port), timeout=5) for _ in range(2)]
        for number, connection in enumerate(connections):
            connection.sendall(head + RED)
            while engine.admission.pictures <= number:
                assert service.get("/livez").status_code == 200
        assert held.running.acquire(timeout=5)
        connections[1].close()
        while 'status="499"' not in service.get("/metrics").text:
            pass
        held.release.set()
        assert connections[0].recv(20).startswith(b"HTTP/1.1 200")
        connections[0].close()
        while engine.admission.pictures:
            assert service.get("/livez").status_code == 200
    engine.stop()
    assert held.sizes == [1]


def test_requests_do_not_pass_the_middleware_of_the_host(tiny_settings: Settings) -> None:
    passed = []

    class Host:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            passed.append(scope["type"])
            await self.app(scope, receive, send)

    engine = new_engine()
    page = Route("/", lambda _: PlainTextResponse("the host's page"))
    app = Starlette(routes=[page], middleware=[Middleware(Host), Middleware(Front, engine=engine)])
    with TestClient(app) as client:
        assert client.get("/livez").json() == {"status": "live"}
        assert client.get("/docs").text == "the host's page"
        assert client.get("/nothing").status_code == 404
    assert passed == ["lifespan"]
