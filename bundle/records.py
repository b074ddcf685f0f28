"""What every record of the contract is made of: frozen, unknown keys refused, plain paths."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
VERSION: Final = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}"

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=f"^{NAME}$")]
Version = Annotated[str, Field(pattern=f"^{VERSION}$")]
Scalar = bool | int | float | str | None


def _relative(path: str) -> str:
    """A plain POSIX path below the folder; absolute, parent and Windows paths are refused."""
    parts = PurePosixPath(path).parts
    if not parts or path != "/".join(parts) or ".." in parts or parts[0] == "/":
        raise ValueError(f"{path!r} is not a plain relative path")
    if any(character in path for character in '\\:\0"<>|?*') or not path.isprintable():
        raise ValueError(f"{path!r} has a character that not every file system takes")
    return path


RelativePath = Annotated[str, AfterValidator(_relative)]


class Record(BaseModel):
    """A frozen record: a typing error in a key is an error, not a setting that is silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileRecord(Record):
    """A file of the folder; `bytes` is its size."""

    path: RelativePath
    sha256: Sha256
    bytes: Count
