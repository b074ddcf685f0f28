"""Which artefact of a bundle answers here."""

from __future__ import annotations

import logging
from functools import partial

from bundle.errors import GoldenMismatch
from bundle.folder import Folder
from bundle.golden import check_golden
from bundle.manifest import Artefact, BundleManifest
from service import runtime
from service.curve import throughput
from service.settings import Settings

logger = logging.getLogger("convoy.service")

TRIAL_SECONDS = 0.1


def choose(bundle: Folder[BundleManifest], settings: Settings) -> tuple[Artefact, runtime.Runtime]:
    """The wanted artefact; or of those that passed their gates the fastest that gives its golden answers here.

    Those of another processor need not be those of this one: without VNNI sums of 8-bit products saturate. Where
    there is no other left it is not checked here.
    Raises: ArtefactMissing, ArtefactInvalid, SettingInvalid, ManifestInvalid.
    """
    found = runtime.candidates(bundle.manifest, settings.artefact, settings.runtime_options)
    loaded = [(artefact, runtime.load_runtime(bundle, artefact, 1, settings.runtime_options)) for artefact in found]
    if len(loaded) == 1:
        return loaded[0]
    crop = bundle.manifest.preprocess.crop
    speed = partial(throughput, shape=(crop, crop, 3), batch=1, lanes=settings.cores, seconds=TRIAL_SECONDS)
    for _, candidate in loaded:
        speed(candidate)
    # Two rounds, one after the other: a busy moment must not decide.
    *others, last = sorted(loaded, key=lambda pair: max(speed(pair[1]), speed(pair[1])), reverse=True)
    for artefact, candidate in others:
        try:
            check_golden(bundle, artefact, candidate.run)
        except GoldenMismatch as error:
            logger.warning("%s is left out on this machine: %s", artefact.target, error)
        else:
            return artefact, candidate
    return last
