"""Make the environment that LiteRT's converter and quantizer live in.

    python scripts/make_litert_env.py [FOLDER] [--torch torch==2.13.0]

Beside ours and not in it: the converter's pins and those of the serving framework do not fit together. The export step
finds it in `.venv-litert`, or where CONVOY_LITERT_PYTHON points to.
"""

from __future__ import annotations

import argparse
import subprocess
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("litert-torch==0.10.0", "ai-edge-quantizer==0.10.0", "ai-edge-litert==2.3.0")
CHECK = "import litert_torch, ai_edge_quantizer, ai_edge_litert.interpreter"


def torch_pin() -> str:
    """The torch that the rest is tested with: a program saved by one release is read by the same."""
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line for line in pins if line.startswith("torch=="))


def main() -> None:
    """Install what is missing; an environment that is whole stays as it is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, nargs="?", default=ROOT / ".venv-litert")
    parser.add_argument(
        "--torch", default=torch_pin(), help="a CPU-only build takes a third of the space  [%(default)s]"
    )
    given = parser.parse_args()
    python = given.folder / "bin" / "python"
    if not python.exists():
        venv.create(given.folder, with_pip=True)
    print(f"installing into {given.folder} (up to 7 GB with torch's GPU libraries; a few minutes)", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *REQUIREMENTS, given.torch], check=True)
    subprocess.run([str(python), "-I", "-c", CHECK], check=True, capture_output=True)


if __name__ == "__main__":
    main()
