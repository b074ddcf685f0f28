"""Which artefact of a bundle answers here."""

from __future__ import annotations

from functools import partial

from bundle.folder import Folder
from bundle.manifest import Artefact, BundleManifest
from service import runtime
from service.curve import throughput
from service.settings import Settings

Loaded = tuple[Artefact, runtime.Runtime]

SECONDS = 0.1


def by_speed(bundle: Folder[BundleManifest], settings: Settings) -> list[Loaded]:
    """The wanted artefact, or those that passed their gates, the fastest here first: timed on every core.

    Raises: ArtefactMissing, ArtefactInvalid, SettingInvalid.
    """
    found = runtime.candidates(bundle.manifest, settings.artefact, settings.runtime_options)
    loaded = [(artefact, runtime.load_runtime(bundle, artefact, 1, settings.runtime_options)) for artefact in found]
    if len(loaded) == 1:
        return loaded
    crop = bundle.manifest.preprocess.crop
    speed = partial(throughput, shape=(crop, crop, 3), batch=1, lanes=settings.cores, seconds=SECONDS)
    for _, candidate in loaded:
        speed(candidate)
    # Two rounds, one after the other: a busy moment must not decide.
    return sorted(loaded, key=lambda pair: max(speed(pair[1]), speed(pair[1])), reverse=True)
