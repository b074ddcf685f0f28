"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from tests.pictures import write_colour_folder
from tests.tiny import write_tiny_bundle

# A busy machine's pause is no fault of the example that it falls into.
hypothesis.settings.register_profile("convoy", deadline=None)
hypothesis.settings.load_profile("convoy")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real weights and pictures, which are not part of the project."""
    location = os.environ.get("CONVOY_TEST_DATA")
    if not location:
        pytest.skip("CONVOY_TEST_DATA does not point to the real weights and pictures")
    return Path(location)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real bundle of a few KB that tells red, green and blue apart. Not to be changed: copy it."""
    return write_tiny_bundle(tmp_path_factory.mktemp("bundles") / "tiny")


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of labelled images: train/ and val/ with red, green and blue pictures of several sizes."""
    return write_colour_folder(tmp_path_factory.mktemp("data") / "colours")
