"""The BentoML service: `bentoml serve service.app:Convoy`."""

from __future__ import annotations

from pathlib import Path

import bentoml

from bundle.image import read_image_bytes
from service.drain import drain_on_sigterm
from service.engine import Engine
from service.front import Front
from service.logs import log_to_stderr
from service.patience import Patience
from service.priority import take_short_turns
from service.routes import DEFAULT_TOP_K, classes, identity, result
from service.schemas import Answer, BatchAnswer
from service.supervision import look_after_the_worker

ENGINE = Engine()
"""One per process. It reads its settings and the bundle when the service starts, not when this is imported."""


@bentoml.service(
    name="convoy",
    workers=1,
    # Longer than twice the longest CONVOY_TIMEOUT: Convoy's own answer comes first, as a problem document.
    traffic={"timeout": 60},
    # BentoML labels its metrics with raw paths, one series for each that a client makes up.
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    # BentoML's middleware makes a span of every chunk of every body, whether anybody collects them or not.
    tracing={"excluded_urls": "."},
)
class Convoy:
    """Classifies images. POST one to /predict, as the multipart field `image` or as the body.

    Errors are RFC 9457 problem documents. GET /models says what is loaded; /livez, /readyz and /metrics are
    for the platform.
    """

    def __init__(self) -> None:
        log_to_stderr()
        take_short_turns()
        ENGINE.start()

    @bentoml.on_startup
    async def begin(self) -> None:
        """The server's loop runs and its signal handlers are in place."""
        drain_on_sigterm(ENGINE)

    @bentoml.on_shutdown
    def stop(self) -> None:
        """Let the running requests finish."""
        ENGINE.stop()

    @bentoml.api
    async def predict_batch(self, images: list[Path], top_k: int = DEFAULT_TOP_K) -> BatchAnswer:
        """One result or one problem per image, in order: a bad image never fails its neighbours."""
        model = ENGINE.models().find(None)
        data = [read_image_bytes(image, ENGINE.settings.limits) for image in images]
        patience = Patience(None, ENGINE.settings)
        outcomes = await ENGINE.answer(model, data, classes(model, top_k), patience)
        return BatchAnswer.model_validate({**identity(model), "results": [result(outcome) for outcome in outcomes]})

    @bentoml.api
    async def predict(self, image: Path, top_k: int = DEFAULT_TOP_K) -> Answer:
        """The `top_k` most probable classes of one image (JPEG, PNG, WebP, BMP or GIF)."""
        # Over HTTP `service.front` answers; this is the same answer for calls inside the process.
        model = ENGINE.models().find(None)
        data = read_image_bytes(image, ENGINE.settings.limits)
        patience = Patience(None, ENGINE.settings)
        (outcome,) = await ENGINE.answer(model, [data], classes(model, top_k), patience)
        if outcome.error is not None:
            raise outcome.error
        return Answer.model_validate({**identity(model), "predictions": outcome.answer})


look_after_the_worker()
Convoy.add_asgi_middleware(Front, engine=ENGINE)  # type: ignore[attr-defined]
