"""LitServe; python server.py PORT (plain | workers | batches).

`decode_request` has no annotation and this file no postponed ones: LitServe reads the parameter's type from there, and
gives a parameter without one the whole form.
"""

import sys
from typing import Any

import litserve as ls
import numpy as np
from classifier import CORES, Classifier
from PIL import Image


class Plain(ls.LitAPI):
    """One picture at a time; `threads` as in Classifier."""

    threads = 0

    def setup(self, device: str) -> None:  # noqa: ARG002
        self.classifier = Classifier(self.threads)

    def decode_request(self, request):
        return self.classifier.pixels(Image.open(request["image"].file))

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.classifier.run(x[np.newaxis])[0]

    def encode_response(self, output: np.ndarray) -> dict:
        return self.classifier.answer(output)


class Workers(Plain):
    """One onnxruntime thread for each of several workers."""

    threads = 1


class Batches(Workers):
    """LitServe stacks the arrays and takes the rows apart again."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.classifier.run(x)


if __name__ == "__main__":
    port, kind = int(sys.argv[1]), sys.argv[2]
    apis = {
        "plain": Plain,
        "workers": Workers,
        "batches": lambda: Batches(max_batch_size=8, batch_timeout=0.01),
    }
    options: dict[str, Any] = {} if kind == "plain" else {"workers_per_device": CORES, "fast_queue": True}
    server = ls.LitServer(apis[kind](), accelerator="cpu", timeout=120, **options)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
