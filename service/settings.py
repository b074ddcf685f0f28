"""The service's settings, read from `CONVOY_…` environment variables and checked before anything is loaded."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from bundle.cores import available_cores, below_quota
from bundle.image import FORMATS, DecodeLimits
from bundle.manifest import Record
from service.errors import SettingInvalid
from service.runtime import LARGEST_MEASURED, Options, Provider

PREFIX = "CONVOY_"
PACKED_BUNDLE = Path(__file__).resolve().parent.parent / "model"
"""Where `convoy package` puts the bundle beside the service's code."""

KEPT_SECONDS = 620
"""How long a connection without a request stays open. Balancers keep theirs for 60 s (nginx, AWS) to 600 s (Google) and
must be the first to close: a POST that meets a closing connection has no answer, and may not be sent again."""

LISTS = ("formats", "cors_origins")
FOREIGN = {"CONVOY_TEST_DATA", "CONVOY_DATASETS"}
"""Variables of other rooms that lie near a setting's name."""

logger = logging.getLogger("convoy.service")

MAX_BATCH = 256


def _batching(value: object) -> object:
    """`auto`, `off`, `small`, or a whole number: the largest batch."""
    if isinstance(value, str) and value not in ("auto", "off", "small"):
        if not (value.isascii() and value.isdecimal() and 1 <= int(value[:6]) <= MAX_BATCH):
            raise ValueError(f"expected auto, off, small or a whole number from 1 to {MAX_BATCH}, got {value[:40]!r}")
        return int(value)
    return value


def default_threads() -> int:
    """One more than there are cores, where several are this process's own.

    Whenever one of them waits for the interpreter's lock, another one computes: a few per cent more pictures of a
    fast network. Slow ones have no use for it (service/planning.py). Under a quota on larger machines one more thread
    would only use the quota up sooner, and all of them would be stopped until the next period.
    """
    cores = available_cores()
    return cores + 1 if cores > 1 and below_quota() else cores


Count = Annotated[int, Field(ge=1)]
Batching = Annotated[
    Literal["auto", "off", "small"] | Annotated[int, Field(ge=1, le=MAX_BATCH)], BeforeValidator(_batching)
]


class Settings(Record):
    """Every setting; the environment variable of `max_pixels` is `CONVOY_MAX_PIXELS`.

    models: a bundle folder, or a folder of NAME/VERSION/ bundles. artefact: which target to serve; `auto` is the
    fastest that passed its gates and gives its golden answers here. provider: where onnxruntime computes, `auto`,
    `cpu`, `cuda` or `tensorrt`.
    torchscript: whether TorchScript files may be loaded; their loader runs code.
    threads: pictures worked on at the same time; by default `default_threads()`.
    lone_threads: of the call for a picture that is alone; by default `cores`.
    batching: `auto` measures at start what pays on this machine, `off` runs every picture by itself, `small` lets a
    thread take three at once while others wait, and measures nothing, a number is the largest batch. cache: where the
    measurement is kept; empty for nowhere.
    queue: pictures that may be uploading or waiting, however fast they go; the next one is refused with 429.
    max_wait: seconds that a picture may be expected to take without an X-Request-Timeout of its own.
    timeout: seconds for an upload, and again for its answer. drain: seconds between SIGTERM, when the service stops
    being ready, and the closing of its door.
    max_bytes, max_pixels: of one image. max_items: images in one request. max_request_bytes: of a request with
    several. upload_memory: of all the bodies that are held at the same time.
    formats: Pillow's names, comma separated; TIFF is left out by default because libtiff has by far the
    longest list of holes and no camera or browser sends it.
    drift_window: pictures that drift is measured over. shadow: another target, or another bundle's folder, that sees
    `shadow_share` of the traffic in the background. access_log: one JSON line per request. api_keys_file: keys, one a
    line, of which every request but those for health must bring one. cors_origins: where pages of others may come from.
    phone: a folder that `convoy phone` wrote, to be served at /phone/.
    """

    models: Path
    artefact: str = "auto"
    provider: Provider = "auto"
    torchscript: Literal["on", "off"] = "off"
    threads: Count = Field(default_factory=default_threads)
    lone_threads: Count | None = None
    batching: Batching = "auto"
    cache: Path | None = None
    queue: Count = 128
    max_wait: Annotated[float, Field(gt=0, le=25)] = 1
    timeout: Annotated[float, Field(gt=0, le=25)] = 20
    drain: Annotated[float, Field(ge=0, le=25)] = 2
    max_bytes: Count = 10 * 1024 * 1024
    max_pixels: Count = 50_000_000
    max_items: Annotated[int, Field(ge=1, le=1024)] = 64
    max_request_bytes: Count = 32 * 1024 * 1024
    upload_memory: Count = 128 * 1024 * 1024
    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
    drift_window: Annotated[int, Field(ge=100, le=1_000_000)] = 1000
    shadow: str = ""
    shadow_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    access_log: Literal["on", "off"] = "on"
    api_keys_file: Path | None = None
    cors_origins: tuple[str, ...] = ()
    phone: Path | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            raise ValueError(f"formats: {', '.join(unknown) or 'empty'}: choose from {', '.join(FORMATS)}")
        if self.max_request_bytes < self.max_bytes:
            raise ValueError(f"max_request_bytes: {self.max_request_bytes} is less than max_bytes, {self.max_bytes}")
        if self.upload_memory < self.max_request_bytes:
            raise ValueError(
                f"upload_memory: {self.upload_memory} is less than max_request_bytes, {self.max_request_bytes}"
            )
        if self.phone and not _is_phone_folder(self.phone):
            raise ValueError(f"phone: {self.phone} is not a folder that `convoy phone` wrote")
        return self

    @property
    def cores(self) -> int:
        """That `threads` can keep busy: what measurements at start fill."""
        return min(self.threads, available_cores())

    @property
    def limits(self) -> DecodeLimits:
        """What one picture may cost."""
        return DecodeLimits(max_bytes=self.max_bytes, max_pixels=self.max_pixels, formats=self.formats)

    @property
    def runtime_options(self) -> Options:
        """What the runtimes are told."""
        largest = self.batching if isinstance(self.batching, int) else 1
        return Options(self.provider, self.torchscript == "on", max(LARGEST_MEASURED, largest), self.cache)


def _is_phone_folder(folder: Path) -> bool:
    try:
        document = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(document, dict) and document.get("kind") == "phone"


def default_cache(environment: Mapping[str, str] = os.environ) -> Path | None:
    """`$XDG_CACHE_HOME/convoy`, else `~/.cache/convoy`; None where there is no home."""
    if base := environment.get("XDG_CACHE_HOME"):
        return Path(base) / "convoy"
    home = environment.get("HOME")
    return Path(home) / ".cache" / "convoy" if home else None


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment. Raises: SettingInvalid, which names the variable."""
    values: dict[str, object] = {"cache": default_cache(environment)}
    for name in Settings.model_fields:
        text = environment.get(PREFIX + name.upper())
        if name == "cache" and text == "":
            values[name] = None
        elif text:
            values[name] = _parts(name, text) if name in LISTS else text
    if "models" not in values and PACKED_BUNDLE.is_dir():
        values["models"] = PACKED_BUNDLE
    _warn_of_typing_errors(environment)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _first(error) from error


def _parts(name: str, text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    return [part.upper() for part in parts] if name == "formats" else parts


def _first(error: ValidationError) -> SettingInvalid:
    """The first complaint as one line that names the variable; a complaint of two fields begins with one of them."""
    first = error.errors(include_url=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    if first["loc"]:
        name = str(first["loc"][0])
    else:
        name, _, reason = reason.partition(": ")
    if first["type"] == "missing":
        reason = "not set: give the path of a bundle folder, or of a folder of NAME/VERSION/ bundles"
    return SettingInvalid(PREFIX + name.upper(), reason)


def _warn_of_typing_errors(environment: Mapping[str, str]) -> None:
    """A near miss is a typing error; anything further away may be Kubernetes' own (CONVOY_SERVICE_HOST)."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in environment:
        unknown = name.startswith(PREFIX) and name not in known and name not in FOREIGN
        if unknown and (near := get_close_matches(name, known, 1, 0.85)):
            logger.warning("%s is not a setting; did you mean %s?", name, near[0])
