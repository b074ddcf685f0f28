"""The service's settings, read from `CONVOY_…` environment variables and checked before anything is loaded."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, ValidationError, model_validator

from bundle.cores import available_cores
from bundle.image import FORMATS, DecodeLimits
from bundle.manifest import Record
from service.errors import SettingInvalid

PREFIX = "CONVOY_"
PACKED_BUNDLE = Path(__file__).resolve().parent.parent / "model"
"""Where `convoy package` puts the bundle beside the service's code."""

logger = logging.getLogger("convoy.service")

Count = Annotated[int, Field(ge=1)]


class Settings(Record):
    """Every setting; the environment variable of `max_pixels` is `CONVOY_MAX_PIXELS`.

    bundle: the bundle folder. artefact: which of its targets to serve.
    threads: pictures worked on at the same time; by default as many as the container has cores.
    queue: requests that may be uploading or waiting for a thread; the next one is refused with 429.
    timeout: seconds for an upload, and again for its answer.
    max_bytes, max_pixels: of one image. formats: Pillow's names, comma separated; TIFF is left out by
    default because libtiff has by far the longest list of holes and no camera or browser sends it.
    """

    bundle: Path
    artefact: str = "onnx"
    threads: Count = Field(default_factory=available_cores)
    queue: Count = 32
    timeout: Annotated[float, Field(gt=0, le=25)] = 20
    max_bytes: Count = 10 * 1024 * 1024
    max_pixels: Count = 50_000_000
    formats: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "BMP", "GIF")

    @model_validator(mode="after")
    def _check(self) -> Self:
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats:
            raise ValueError(f"formats: {', '.join(unknown) or 'empty'}: choose from {', '.join(FORMATS)}")
        return self

    @property
    def limits(self) -> DecodeLimits:
        """What one picture may cost."""
        return DecodeLimits(max_bytes=self.max_bytes, max_pixels=self.max_pixels, formats=self.formats)


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment. Raises: SettingInvalid, which names the variable."""
    values: dict[str, object] = {}
    for name in Settings.model_fields:
        text = environment.get(PREFIX + name.upper())
        if text:
            values[name] = [part.strip().upper() for part in text.split(",")] if name == "formats" else text
    if "bundle" not in values and PACKED_BUNDLE.is_dir():
        values["bundle"] = PACKED_BUNDLE
    _warn_of_typing_errors(environment)
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        variable = PREFIX + str(first["loc"][0]).upper() if first["loc"] else PREFIX + "FORMATS"
        reason = "not set: give the path of a bundle folder" if first["type"] == "missing" else first["msg"]
        raise SettingInvalid(variable, reason) from error


def _warn_of_typing_errors(environment: Mapping[str, str]) -> None:
    """A near miss is a typing error; anything further away may be Kubernetes' own (CONVOY_SERVICE_HOST)."""
    known = [PREFIX + name.upper() for name in Settings.model_fields]
    for name in environment:
        if name.startswith(PREFIX) and name not in known and (near := get_close_matches(name, known, 1, 0.85)):
            logger.warning("%s is not a setting; did you mean %s?", name, near[0])
