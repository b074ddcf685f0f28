"""The HTTP service: BentoML and onnxruntime, without torch."""

import os
import sys

# BentoML lets prometheus_client keep each number in a file, to add up those of several workers, in one folder for all
# services of a user. Here is one worker. The variable is looked at when that package is imported, and only then.
if "prometheus_client" not in sys.modules:
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
