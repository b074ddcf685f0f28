"""Answer pictures with a bundle's ONNX and ORT files: what scripts/arm_check.py runs on both processors.

    python scripts/answer_pictures.py BUNDLE PICTURES OUT TARGET…

Needs no more than `bundle` does, and onnxruntime. OUT gets pixels.npy (uint8 [n, H, W, 3]), TARGET.npy (float32 [n, K])
for every file, and answers.json.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import PIL

from bundle.errors import GoldenMismatch
from bundle.folder import Folder, open_bundle
from bundle.golden import Run, check_golden
from bundle.image import decode
from bundle.manifest import Artefact, BundleManifest
from bundle.onnx_session import OnnxSession
from bundle.preprocess import Pixels, preprocess


class Remembered:
    """A session that answers what it has answered before from memory: the golden pictures come twice."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._answers: dict[bytes, np.ndarray[Any, np.dtype[np.float32]]] = {}
        self.seconds: list[float] = []

    def __call__(self, batch: Pixels) -> np.ndarray[Any, np.dtype[np.float32]]:
        key = batch.tobytes()
        if key not in self._answers:
            start = time.perf_counter()
            self._answers[key] = self._run(batch)
            self.seconds.append(time.perf_counter() - start)
        return self._answers[key]


def replay(bundle: Folder[BundleManifest], artefact: Artefact, run: Run) -> dict[str, Any]:
    """The golden answers as the service replays them at its start: the largest difference, or why they did not come."""
    try:
        return {"difference": check_golden(bundle, artefact, run), "problem": None}
    except GoldenMismatch as error:
        return {"difference": None, "problem": str(error).removeprefix(f"{bundle.root}/")}


def answer(bundle: Folder[BundleManifest], target: str, pixels: Pixels, out: Path) -> dict[str, Any]:
    """Write one file's answers; returns its line of answers.json. Raises: ArtefactMissing, ArtefactInvalid."""
    artefact = bundle.manifest.artefact(target)
    run = Remembered(OnnxSession(bundle.path(artefact), artefact).run)
    golden = replay(bundle, artefact, run)
    np.save(out / f"{target}.npy", np.concatenate([run(picture[np.newaxis]) for picture in pixels]))
    return {
        "precision": artefact.precision,
        "golden": golden,
        "ms_per_picture": 1000 * sum(run.seconds) / len(run.seconds),
    }


def main() -> None:
    """Decode, preprocess and answer every picture, in the order of their names."""
    root, pictures, out = map(Path, sys.argv[1:4])
    bundle = open_bundle(root)
    files = sorted(path for path in pictures.rglob("*") if path.is_file())
    pixels = np.stack([preprocess(decode(file), bundle.manifest.preprocess) for file in files])
    out.mkdir(parents=True)
    np.save(out / "pixels.npy", pixels)
    record = {
        "machine": platform.machine(),
        "versions": {module.__name__: module.__version__ for module in (np, onnxruntime, PIL)},
        "pictures": [file.relative_to(pictures).as_posix() for file in files],
        "targets": {target: answer(bundle, target, pixels, out) for target in sys.argv[4:]},
    }
    (out / "answers.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
