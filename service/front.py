"""The ASGI front: Convoy's routes first, then the few pages of BentoML's own, then a 404.

BentoML's route for the same API would answer some broken images with a 500, fetch URLs that a client names
and read bodies of any size (docs/serve.md); its page, its OpenAPI document and its client's schema are kept.
"""

from __future__ import annotations

import logging

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bundle.errors import ConvoyError
from service.access import Passage
from service.engine import Engine
from service.errors import MethodNotAllowed, NoSuchRoute, Overloaded
from service.hugging_face import HuggingFaceRoutes
from service.oip_routes import OipRoutes
from service.openapi import document
from service.page import page_routes
from service.phone import phone_routes
from service.problems import problem
from service.routes import Routes

logger = logging.getLogger("convoy.service")

PASSED_ON = {"/docs": "/", "/schema.json": "/schema.json"}
"""Path here → path in BentoML's application: its Swagger page, and what its client asks for."""

PASSED_ON_BELOW = "/static_content/"

_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_CLOSE = (b"connection", b"close")

OPEN = {"/livez", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"}
"""What a platform asks without a key."""


def answered(engine: Engine) -> list[Route]:
    """Every route that is Convoy's own, with the document that describes them."""
    routes = [*Routes(engine).table(), *OipRoutes(engine).table(), *HuggingFaceRoutes(engine).table(), *page_routes()]
    routes += phone_routes(engine)

    async def docs(_: Request) -> Response:
        """GET /docs.json: this document."""
        return JSONResponse(document(routes))

    routes.append(Route("/docs.json", docs, methods=["GET"]))
    return routes


class Front:
    """ASGI middleware around BentoML's application `app`."""

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self.app = app
        self.engine = engine
        self.routes = answered(engine)
        self._cors: CORSMiddleware | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            self._come_first(scope)
            await self.app(scope, receive, send)
        elif (origins := self.engine.cors_origins) and self._cors is None:
            headers = ["Content-Type", "X-API-Key", "Authorization", "X-Request-Timeout"]
            self._cors = CORSMiddleware(self._http, allow_origins=origins, allow_methods=["*"], allow_headers=headers)
            await self._cors(scope, receive, send)
        else:
            await (self._cors or self._http)(scope, receive, send)

    def _come_first(self, scope: Scope) -> None:
        """At the server's start: requests come here before BentoML's other middleware, not after it.

        That makes a task and a timer for each, and asks each address whether its span is wanted; deadlines, spans and
        errors are dealt with here.
        """
        if isinstance(app := scope.get("app"), Starlette):
            app.middleware_stack = self

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        passage = Passage(request)
        route, match = self._find(scope)
        template = route.path if route else scope["path"] if self._passed_on(scope["path"]) else "other"
        watched = _Watched(send, self.engine, passage.id)
        self.engine.requests += 1
        try:
            if template not in OPEN:
                self.engine.check_key(request.headers)
            await self._dispatch(route, match, request, watched)
        except ClientDisconnect:
            watched.status = 499  # nginx's number for a client that left; nobody reads an answer
        except Exception as error:
            await self._answer_error(error, scope, receive, watched)
        finally:
            self.engine.requests -= 1
        passage.end(watched.status)
        self.engine.ledger.enter(self._record, template, passage)

    def _find(self, scope: Scope) -> tuple[Route | None, Match]:
        for route in self.routes:
            match, child = route.matches(scope)
            if match != Match.NONE:
                scope.update(child)
                return route, match
        return None, Match.NONE

    async def _dispatch(self, route: Route | None, match: Match, request: Request, send: Send) -> None:
        scope, receive = request.scope, request.receive
        if route is None and self._passed_on(scope["path"]):
            path = str(PASSED_ON.get(scope["path"], scope["path"]))
            await self.app({**scope, "path": path, "raw_path": path.encode()}, receive, send)
        elif route is None:
            raise NoSuchRoute(scope["path"])
        elif match == Match.PARTIAL:
            raise MethodNotAllowed(scope["method"], route.path, ", ".join(sorted(route.methods or ())))
        else:
            # Not by `route.app`: its error handling would come before this one's, and costs every request.
            response = await route.endpoint(request)
            await response(scope, receive, send)

    async def _answer_error(self, error: Exception, scope: Scope, receive: Receive, send: _Watched) -> None:
        if not isinstance(error, ConvoyError):
            logger.error("%s %s failed", scope["method"], scope["path"][:200], exc_info=error)
        if isinstance(error, Overloaded):
            if error.reason != "late":  # the engine counts those itself, picture by picture
                self.engine.shed(error)
            await self.engine.pacer.pause(error.patience, self.engine.admission.rate())
        if send.status == 0:
            await problem(error)(scope, receive, send)

    def _record(self, template: str, passage: Passage) -> None:
        # An unknown method is one label too, however a client spells it.
        known = passage.method if passage.method in ("GET", "HEAD", "POST") else "other"
        route = PASSED_ON_BELOW if template.startswith(PASSED_ON_BELOW) else template
        self.engine.metrics.answered(route, known, passage.status, passage.seconds)
        if template not in OPEN:
            passage.write(self.engine, route)

    @staticmethod
    def _passed_on(path: str) -> bool:
        return path in PASSED_ON or path.startswith(PASSED_ON_BELOW)


class _Watched:
    """`send`, remembering the status once it has gone out (0 before).

    While draining every answer asks the client to take another connection: this one is about to be closed.
    """

    def __init__(self, send: Send, engine: Engine, request_id: str) -> None:
        self._send = send
        self._engine = engine
        self._id = (b"x-request-id", request_id.encode())
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), self._id, _NO_SNIFFING]
            message["headers"] = [*headers, _CLOSE] if self._engine.draining else headers
        await self._send(message)
