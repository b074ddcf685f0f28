"""What only the command line can get wrong."""

from __future__ import annotations

from pathlib import Path

from bundle.errors import ConvoyError

EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "lightning": "train",
    "torchmetrics": "train",
    "safetensors": "train",
    "sklearn": "train",
    "yaml": "train",
    "jinja2": "train",
    "locust": "load",
    "tensorboard": "tensorboard",
    "timm": "timm",
    "onnx": "export",
    "onnxscript": "export",
    "onnxruntime": "serve",
    "executorch": "executorch",
    "torchao": "executorch",
    "coremltools": "coreml",
    "bentoml": "serve",
    "prometheus_client": "serve",
}
"""Which extra of pyproject.toml brings a module."""


class ExtraMissing(ConvoyError):
    def __init__(self, module: str) -> None:
        super().__init__(f"this command needs {module}: pip install -e '.[{EXTRAS[module]}]'")


class NoSuchPath(ConvoyError):
    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: no such file, folder or pattern")


class OptionMissing(ConvoyError):
    def __init__(self, option: str) -> None:
        super().__init__(f"what to train is not complete: give --{option}, or a --recipe that names it")


class NotTogether(ConvoyError):
    def __init__(self, first: str, second: str, reason: str = "choose one") -> None:
        super().__init__(f"{first} does not go with {second}: {reason}")


class NotHtml(ConvoyError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: the page is written as HTML: give a name that ends in .html")


class NotSvg(ConvoyError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: the drawing is written as SVG: give a name that ends in .svg")


class NotPng(ConvoyError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"{path}: the sheet is written as PNG: give a name that ends in .png")


class ServiceDied(ConvoyError):
    exit_code = 1

    def __init__(self, log: Path) -> None:
        super().__init__(f"the service did not become ready: see {log}")


class Unreachable(ConvoyError):
    """What the operating system refused, wherever it was met."""

    def __init__(self, error: OSError) -> None:
        name = error.filename
        text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
        super().__init__(f"{text}: {error.strerror}" if name is not None else str(error))


class NotText(ConvoyError):
    def __init__(self, error: UnicodeError) -> None:
        super().__init__(f"a name or a file is not UTF-8 text: {error}")


class NothingToClassify(ConvoyError):
    def __init__(self, paths: list[str]) -> None:
        super().__init__(f"{', '.join(paths)}: no images there")


class NoPaths(ConvoyError):
    def __init__(self) -> None:
        super().__init__("give a bundle and at least one image, folder or pattern; with --url only the images")


class UrlInvalid(ConvoyError):
    def __init__(self, url: str) -> None:
        super().__init__(f"--url {url}: an address like http://127.0.0.1:3000 was expected")


class ServiceUnreachable(ConvoyError):
    exit_code = 1

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"{url}: no answer from a Convoy service there ({reason})")
