"""One served bundle: its answers and its description as JSON values. Knows no HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bundle.classify import Classifier, Observe
from bundle.image import DecodeLimits


class ServedModel:
    """A bundle whose checksums and golden answers were checked when it was made; the check warms it up too.

    Raises: FolderError, ArtefactMissing.
    """

    def __init__(self, path: Path, target: str, limits: DecodeLimits) -> None:
        # One thread per picture: the pool already keeps every core busy with another one.
        self._classifier = Classifier(path, target, limits=limits, threads=1)
        self.bundle = self._classifier.bundle
        self.artefact = self._classifier.artefact
        self.golden_difference = self._classifier.check_golden()

    @property
    def name(self) -> str:
        return self.bundle.manifest.name

    @property
    def version(self) -> str:
        return self.bundle.manifest.version

    def classify(self, data: bytes, k: int, observe: Observe) -> dict[str, Any]:
        """The answer for one encoded image, as in `service.schemas.Answer`. Raises: ImageError."""
        return {
            "model": self.name,
            "version": self.version,
            "bundle": self.bundle.id,
            "predictions": [answer.as_dict() for answer in self._classifier.classify(data, k, observe)],
        }

    def describe(self) -> dict[str, Any]:
        """What GET /models/{name} answers."""
        manifest = self.bundle.manifest
        return {
            **self.summary(),
            "architecture": manifest.architecture.model_dump(mode="json"),
            "labels": list(manifest.labels),
            "preprocess": manifest.preprocess.model_dump(mode="json"),
            "temperature": manifest.temperature,
            "metrics": manifest.metrics and manifest.metrics.model_dump(mode="json"),
            "artefact": self.artefact.model_dump(mode="json"),
            "golden_difference": self.golden_difference,
            "provenance": manifest.provenance.model_dump(mode="json"),
            "licence": manifest.licence,
        }

    def summary(self) -> dict[str, Any]:
        """One line of GET /models."""
        return {
            "name": self.name,
            "version": self.version,
            "bundle": self.bundle.id,
            "classes": len(self.bundle.manifest.labels),
            "target": self.artefact.target,
            "precision": self.artefact.precision,
            "providers": self._classifier.session.providers,
        }
