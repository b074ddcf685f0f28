from __future__ import annotations

from pathlib import Path

import pytest

from tests.pictures import plain


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one picture, only.png."""
    folder = tmp_path_factory.mktemp("pictures")
    plain("red").save(folder / "only.png")
    return folder
