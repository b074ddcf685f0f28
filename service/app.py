"""The BentoML service: `bentoml serve service.app:Convoy`."""

from __future__ import annotations

from pathlib import Path

import bentoml

from bundle.image import read_image_bytes
from service.engine import Engine
from service.front import Front
from service.logs import log_to_stderr
from service.routes import DEFAULT_TOP_K
from service.schemas import Answer

ENGINE = Engine()
"""One per process. It reads its settings and the bundle when the service starts, not when this is imported."""


@bentoml.service(
    name="convoy",
    workers=1,
    # Longer than twice the longest CONVOY_TIMEOUT: Convoy's own answer comes first, as a problem document.
    traffic={"timeout": 60},
    # BentoML labels its metrics with raw paths, one series for each that a client makes up.
    metrics={"enabled": False},
)
class Convoy:
    """Classifies images. POST one to /predict, as the multipart field `image` or as the body.

    Errors are RFC 9457 problem documents. GET /models says what is loaded; /livez, /readyz and /metrics are
    for the platform.
    """

    def __init__(self) -> None:
        log_to_stderr()
        ENGINE.start()

    @bentoml.on_shutdown
    def stop(self) -> None:
        """Let the running requests finish."""
        ENGINE.stop()

    @bentoml.api
    async def predict(self, image: Path, top_k: int = DEFAULT_TOP_K) -> Answer:
        """The `top_k` most probable classes of one image (JPEG, PNG, WebP, BMP or GIF)."""
        # Over HTTP `service.front` answers; this is the same answer for calls inside the process.
        model = ENGINE.ready()
        data = read_image_bytes(image, ENGINE.settings.limits)
        return Answer.model_validate(model.classify(data, top_k, ENGINE.metrics.observe_stage))


Convoy.add_asgi_middleware(Front, engine=ENGINE)  # type: ignore[attr-defined]
