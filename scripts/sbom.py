"""An image's bill of materials, CycloneDX 1.6 as JSON: Debian's packages, Python's, and the bundle.

Read from the files that are in the image. cyclonedx-bom knows Python environments alone: it would name neither the
base's packages nor the model.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from email.parser import HeaderParser
from typing import Any
from urllib.parse import quote

from scripts.image_archive import ImageArchive

SPEC = "1.6"
BUNDLE = "app/model/manifest.json"
NAMESPACE = uuid.UUID("6f1dbb43-53b8-5a43-9d62-7c22a0f0c8d5")


def bill(image: ImageArchive, image_id: str) -> dict[str, Any]:
    """The document. The same image gives the same one."""
    labels = image.config["config"].get("Labels") or {}
    subject = {
        "type": "container",
        "bom-ref": image_id,
        "name": labels.get("org.opencontainers.image.title", "convoy"),
        "version": labels.get("org.opencontainers.image.version", ""),
        "hashes": [{"alg": "SHA-256", "content": image_id.removeprefix("sha256:")}],
    }
    components = sorted([*python_packages(image), *debian_packages(image), *bundles(image)], key=lambda c: c["bom-ref"])
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, image_id)}",
        "version": 1,
        "metadata": {"timestamp": image.config["created"][:19] + "Z", "component": subject},
        "components": components,
        "dependencies": [{"ref": image_id, "dependsOn": [component["bom-ref"] for component in components]}],
    }


def python_packages(image: ImageArchive) -> list[dict[str, Any]]:
    """What `importlib.metadata` would find."""
    found = []
    for path, text in image.texts.items():
        if path.endswith(".dist-info/METADATA"):
            headers = HeaderParser().parsestr(text.decode(errors="replace"))
            name = re.sub(r"[-_.]+", "-", headers["Name"]).lower()
            found.append(
                _component("library", name, headers["Version"], f"pkg:pypi/{name}@{quote(headers['Version'])}", path)
                | _licence(headers["License-Expression"])
            )
    return found


def debian_packages(image: ImageArchive) -> list[dict[str, Any]]:
    """What dpkg has installed; distroless images keep a file for each in status.d."""
    found = []
    for path, text in image.texts.items():
        if not path.startswith("var/lib/dpkg/status") or path.endswith("-old"):
            continue
        for paragraph in text.decode(errors="replace").split("\n\n"):
            headers = HeaderParser().parsestr(paragraph)
            if headers["Package"] and "deinstall" not in (headers["Status"] or ""):
                name, version = headers["Package"], headers["Version"]
                purl = f"pkg:deb/debian/{name}@{quote(version)}?arch={headers['Architecture']}"
                found.append(_component("library", name, version, purl, path))
    return found


def bundles(image: ImageArchive) -> list[dict[str, Any]]:
    """The bundle inside, with the checksums of its files; none where it comes from a volume."""
    if BUNDLE not in image.texts:
        return []
    manifest = json.loads(image.texts[BUNDLE])
    identity = hashlib.sha256(image.texts[BUNDLE]).hexdigest()
    component = _component(
        "machine-learning-model", manifest["name"], manifest["version"], f"bundle:{identity}", BUNDLE
    )
    del component["purl"]
    files = [
        {"type": "file", "name": each["path"], "hashes": [{"alg": "SHA-256", "content": each["sha256"]}]}
        for each in manifest["artefacts"]
    ]
    return [component | {"hashes": [{"alg": "SHA-256", "content": identity}], "components": files}]


def _component(kind: str, name: str, version: str, purl: str, path: str) -> dict[str, Any]:
    place = [{"name": "convoy:path", "value": f"/{path}"}]
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl, "properties": place}


def _licence(expression: str | None) -> dict[str, Any]:
    return {"licenses": [{"expression": expression}]} if expression else {}
