from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bundle.errors import ArtefactInvalid
from bundle.folder import open_bundle
from bundle.onnx_session import OnnxSession
from tests.tiny import CROP, map_of, probabilities_of, write_tiny_bundle


@pytest.fixture(scope="module")
def session(tiny_bundle: Path) -> OnnxSession:
    return OnnxSession(tiny_bundle / "model.onnx", open_bundle(tiny_bundle).manifest.artefact("onnx"))


@pytest.mark.parametrize("size", [1, 2, 7])
def test_runs_any_batch(session: OnnxSession, size: int) -> None:
    batch = np.random.default_rng(size).integers(0, 256, (size, 8, 8, 3), dtype=np.uint8)
    expected = np.stack([probabilities_of(pixels) for pixels in batch])
    np.testing.assert_allclose(session.run(batch), expected, atol=1e-6)


def test_threads_never_mix_answers_up(session: OnnxSession) -> None:
    batches = [np.full((1, 8, 8, 3), value, dtype=np.uint8) for value in range(200)]
    for batch in batches:
        batch[..., 0] = 255 - batch[..., 0]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(session.run, batches))
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_allclose(answer[0], probabilities_of(batch[0]), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 8, 8, 3), np.float32), ((1, 3, 8, 8), np.uint8), ((8, 8, 3), np.uint8)]
)
def test_refuses_other_tensors(session: OnnxSession, shape: tuple[int, ...], dtype: type) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        session.run(np.zeros(shape, dtype=dtype))


def test_a_file_that_is_no_onnx_is_one_line(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ArtefactInvalid) as caught:
        OnnxSession(tmp_path / "model.onnx", open_bundle(tiny_bundle).manifest.artefact("onnx"))
    assert "\n" not in str(caught.value)


def test_a_graph_unlike_its_record_is_refused(tiny_bundle: Path) -> None:
    artefact = open_bundle(tiny_bundle).manifest.artefact("onnx")
    renamed = artefact.inputs[0].model_copy(update={"name": "pixels"})
    with pytest.raises(ArtefactInvalid, match="the manifest says"):
        OnnxSession(tiny_bundle / "model.onnx", artefact.model_copy(update={"inputs": (renamed,)}))


def test_a_graph_of_another_width_is_refused(tiny_bundle: Path) -> None:
    artefact = open_bundle(tiny_bundle).manifest.artefact("onnx")
    wider = artefact.outputs[0].model_copy(update={"shape": ("N", 4)})
    with pytest.raises(ArtefactInvalid, match="the manifest says"):
        OnnxSession(tiny_bundle / "model.onnx", artefact.model_copy(update={"outputs": (wider,)}))


def test_a_file_with_a_class_map_answers_with_it_when_asked(tmp_path: Path) -> None:
    bundle = open_bundle(write_tiny_bundle(tmp_path / "tiny", explains=True))
    artefact = bundle.manifest.artefacts[0]
    session = OnnxSession(bundle.path(artefact), artefact)
    assert session.explains
    pixels = np.random.default_rng(0).integers(0, 256, (2, CROP, CROP, 3), dtype=np.uint8)
    probabilities, maps = session.explain(pixels)
    assert np.array_equal(probabilities, session.run(pixels))
    np.testing.assert_allclose(maps, [map_of(picture) for picture in pixels], rtol=1e-5)
    with pytest.raises(ValueError, match="expected uint8"):
        session.explain(pixels[:, :4])
