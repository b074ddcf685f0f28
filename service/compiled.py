"""Compile what a start imports, for an image whose root is read-only: `python -m service.compiled`.

Public Python images come without compiled files, those of the standard library included, and a container that cannot
keep them compiles them at every start. Only what is imported: the rest would be twice the size. With
`PYTHONPYCACHEPREFIX` they lie in one folder of their own.
"""

from __future__ import annotations

import py_compile
import sys
from importlib import import_module
from pathlib import Path

STARTED = ("service.container", "service.app", "service.healthy", "onnxruntime", "uvicorn", "uvloop", "httptools")
"""With `uvicorn`'s choice of loop and parser, which it imports by name when it runs."""
LATER = (
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.auto",
)


def compile_imported() -> int:
    """Compile every module that is imported by now; returns how many. The files are not looked at again."""
    done = 0
    for module in list(sys.modules.values()):
        source = getattr(module, "__file__", None)
        if source and source.endswith(".py") and Path(source).is_file():
            py_compile.compile(source, doraise=True, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
            done += 1
    return done


def main() -> None:
    """The command line."""
    for name in (*STARTED, *LATER):
        import_module(name)
    from service.app import Convoy

    Convoy.to_asgi()  # type: ignore[attr-defined]
    from PIL import Image

    Image.init()
    print(f"compiled {compile_imported()} modules below {sys.pycache_prefix}")


if __name__ == "__main__":
    main()
