from __future__ import annotations

import logging
from pathlib import Path

import pytest

from bundle.cores import available_cores
from service import settings as module
from service.errors import SettingInvalid
from service.settings import default_threads, read_settings


def test_defaults_and_overrides() -> None:
    settings = read_settings({"CONVOY_MODELS": "b", "CONVOY_MAX_PIXELS": "1000", "CONVOY_FORMATS": "jpeg, tiff"})
    assert settings.models == Path("b")
    assert settings.limits.max_pixels == 1000
    assert settings.limits.formats == ("JPEG", "TIFF")
    assert settings.threads == default_threads()
    assert settings.cores == available_cores()


@pytest.mark.parametrize(
    ("cores", "own", "threads"), [(1, True, 1), (1, False, 1), (2, True, 3), (2, False, 2), (8, True, 9)]
)
def test_one_thread_more_than_cores_that_are_its_own(
    monkeypatch: pytest.MonkeyPatch, cores: int, own: bool, threads: int
) -> None:
    monkeypatch.setattr(module, "available_cores", lambda: cores)
    monkeypatch.setattr(module, "below_quota", lambda: own)
    settings = read_settings({"CONVOY_MODELS": "b"})
    assert (settings.threads, settings.cores) == (threads, cores)
    assert read_settings({"CONVOY_MODELS": "b", "CONVOY_THREADS": "1"}).cores == 1


def test_an_empty_cache_is_nowhere_and_without_a_setting_it_is_at_home() -> None:
    assert read_settings({"CONVOY_MODELS": "b", "HOME": "/h"}).cache == Path("/h/.cache/convoy")
    assert read_settings({"CONVOY_MODELS": "b", "HOME": "/h", "CONVOY_CACHE": "/c"}).cache == Path("/c")
    assert read_settings({"CONVOY_MODELS": "b", "HOME": "/h", "CONVOY_CACHE": ""}).cache is None


def test_tiff_is_off_by_default() -> None:
    assert "TIFF" not in read_settings({"CONVOY_MODELS": "b"}).formats


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "CONVOY_MODELS: not set: give the path of a bundle folder"),
        ({"CONVOY_MODELS": ""}, "CONVOY_MODELS: not set"),
        ({"CONVOY_MODELS": "b", "CONVOY_THREADS": "two"}, "CONVOY_THREADS: Input should be a valid integer"),
        ({"CONVOY_MODELS": "b", "CONVOY_THREADS": "0"}, "CONVOY_THREADS: .*greater than or equal to 1"),
        ({"CONVOY_MODELS": "b", "CONVOY_TIMEOUT": "inf"}, "CONVOY_TIMEOUT"),
        ({"CONVOY_MODELS": "b", "CONVOY_TIMEOUT": "26"}, "CONVOY_TIMEOUT: .*less than or equal to 25"),
        ({"CONVOY_MODELS": "b", "CONVOY_FORMATS": "EPS"}, "CONVOY_FORMATS: EPS: choose from JPEG"),
        (
            {"CONVOY_MODELS": "b", "CONVOY_BATCHING": "many"},
            "CONVOY_BATCHING: expected auto, off, small or a whole",
        ),
        ({"CONVOY_MODELS": "b", "CONVOY_BATCHING": "0"}, "CONVOY_BATCHING: expected auto, off"),
        ({"CONVOY_MODELS": "b", "CONVOY_MAX_BYTES": "99999999"}, "CONVOY_MAX_REQUEST_BYTES: .* is less than max_bytes"),
    ],
)
def test_a_wrong_setting_names_its_variable(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingInvalid, match=message):
        read_settings(environment)


def test_a_packed_bundle_is_found_without_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKED_BUNDLE", tmp_path)
    assert read_settings({}).models == tmp_path
    assert read_settings({"CONVOY_MODELS": "b"}).models == Path("b")


def test_a_near_miss_is_warned_of_and_kubernetes_is_not(caplog: pytest.LogCaptureFixture) -> None:
    kubernetes = {"CONVOY_SERVICE_HOST": "10.0.0.1", "CONVOY_PORT_3000_TCP_ADDR": "10.0.0.1", "CONVOY_TEST_DATA": "x"}
    with caplog.at_level(logging.WARNING):
        read_settings({"CONVOY_MODELS": "b", "CONVOY_MAX_PIXEL": "1", **kubernetes})
    assert [record.getMessage() for record in caplog.records] == [
        "CONVOY_MAX_PIXEL is not a setting; did you mean CONVOY_MAX_PIXELS?"
    ]
