"""The page at /: three files, read once, that load nothing from anywhere else."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).resolve().parent
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def page_routes() -> list[Route]:
    """/, /page.css and /page.js."""
    return [_route("/", "index.html"), _route("/page.css", "page.css"), _route("/page.js", "page.js")]


def _route(path: str, name: str) -> Route:
    content = (FOLDER / name).read_bytes()
    media_type = _TYPES[Path(name).suffix]

    async def page(_: Request) -> Response:
        """GET /: a page to try the service with."""
        return Response(content, 200, HEADERS, media_type)

    return Route(path, page, methods=["GET"], include_in_schema=False)
