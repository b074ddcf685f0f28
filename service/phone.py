"""The page for phones at /phone/: the files of a folder that `convoy phone` wrote, where CONVOY_PHONE names one.

Only what the folder's own manifest.json lists is served, by looking the name up: no path of a client's is ever opened.
"""

from __future__ import annotations

import asyncio
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from service.engine import Engine
from service.errors import NoSuchRoute, SettingInvalid

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; media-src 'self' blob:; worker-src 'self'; manifest-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    # Together they let the page share memory between threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".txt": "text/plain",
}
ENCODINGS = {"br": "br", "gz": "gzip"}
"""Suffix of a precompressed neighbour → its content coding, the smallest first."""
_FOREVER = "public, max-age=31536000, immutable"
"""For names that have their content's hash in them."""

Files = dict[str, dict[str, Any]]


def phone_routes(engine: Engine) -> list[Route]:
    """/phone and everything below it."""

    async def page(request: Request) -> Response:
        """GET /phone: the page that classifies on the phone itself."""
        folder = engine.settings.phone
        if folder is None:
            raise NoSuchRoute(request.url.path)
        if "path" not in request.path_params:
            return RedirectResponse("phone/")  # relative: a proxy may have put a path before it
        name = request.path_params["path"] or "index.html"
        record = (await asyncio.to_thread(listed, folder)).get(name)
        if record is None:
            raise NoSuchRoute(request.url.path)
        return answer(folder, record, request)

    return [Route(path, page, methods=["GET"], include_in_schema=False) for path in ("/phone", "/phone/{path:path}")]


@lru_cache(maxsize=4)
def listed(folder: Path) -> Files:
    """The records of the folder's manifest by path. Raises: SettingInvalid."""
    try:
        document = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        if document["kind"] != "phone":
            raise ValueError(f"kind is {document['kind']!r}")
        return {record["path"]: record for record in document["files"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingInvalid("CONVOY_PHONE", f"{folder}: not a folder that `convoy phone` wrote ({error})") from error


def answer(folder: Path, record: dict[str, Any], request: Request) -> Response:
    """The file, in the smallest encoding that the client takes; 304 where it has it already.

    Raises: NoSuchRoute where it was taken away since it was listed.
    """
    name, sha256 = record["path"], record["sha256"]
    suffix = next((one for one in ENCODINGS if one in record["encodings"] and takes(request, ENCODINGS[one])), None)
    tag = f'"{sha256}{"-" + suffix if suffix else ""}"'
    headers = {**HEADERS, "ETag": tag, "Cache-Control": _FOREVER if name.startswith("assets/") else "no-cache"}
    if tag in [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    path = folder / name
    if suffix:
        headers["Content-Encoding"] = ENCODINGS[suffix]
        path = path.with_name(f"{path.name}.{suffix}")
    if not path.is_file():
        raise NoSuchRoute(request.url.path)
    return FileResponse(path, 200, headers, TYPES.get(Path(name).suffix, "application/octet-stream"))


def takes(request: Request, coding: str) -> bool:
    """Whether Accept-Encoding (RFC 9110, 12.5.3) names the coding and does not rule it out with q=0."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        name, _, parameter = part.partition(";")
        if name.strip() == coding:
            return parameter.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
