"""What a picture takes in the page by either file, and where the runtime spends it; measure_phone.py writes it down.

Times are of the machine that runs this and mean something only where nothing else runs.
"""

from __future__ import annotations

import base64
import json
import shutil
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

if TYPE_CHECKING:
    from playwright.sync_api import Browser

from bundle.folder import open_bundle
from bundle.golden import read_array

RUNTIME: Final = Path(__file__).resolve().parent.parent / "phone" / "web" / "node_modules" / "onnxruntime-web" / "dist"
RUNTIME_FILES: Final = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
FILES: Final = {"fp32": "onnx", "int8": "onnx-int8"}
ROUNDS: Final = 60
WARM_UP: Final = 20
"""Rounds that are thrown away: the browser compiles its machine code again as it runs."""
DOT_PRODUCT: Final = bytes.fromhex("fd9302")
"""WebAssembly's i32x4.relaxed_dot_i8x16_i7x16_add_s, the one instruction made for int8 networks."""
TIME = """async ([data, rounds, threads]) => {
    const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
    return window.timeFiles(new Blob([bytes]), rounds, threads);
}"""
PROFILE = """async ([root, model, crop, rounds, values]) => {
    const ort = await import(root + "ort.wasm.min.mjs");
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = root;
    ort.env.logLevel = "error";
    const data = new Uint8Array(await (await fetch(model)).arrayBuffer());
    const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all", enableProfiling: true };
    const session = await ort.InferenceSession.create(data, options);
    const image = new ort.Tensor("uint8", Uint8Array.from(values), [1, crop, crop, 3]);
    for (let round = 0; round < rounds; round++) await session.run({ image }, [session.outputNames[0]]);
    session.endProfiling();
}"""
"""The runtime prints what it measured to the console."""


def time_files(browser: Browser, url: str, picture: Path) -> list[dict[str, Any]]:
    """Both files by turns in one page, with one thread and with two. The host must isolate the page."""
    data = base64.b64encode(picture.read_bytes()).decode()
    found = []
    for threads in (1, 2):
        page = browser.new_page()
        page.goto(f"{url}conformance.html")
        page.wait_for_selector("#start:not([disabled])")
        timing = page.evaluate(TIME, [data, ROUNDS, threads])
        page.close()
        assert timing["threads"] == threads, "the page is not isolated"
        found.append(_summary(timing))
    return found


def _summary(timing: dict[str, Any]) -> dict[str, Any]:
    kept = {precision: rounds[WARM_UP:] for precision, rounds in timing["rounds"].items()}
    infer = {precision: [one["infer"] for one in rounds] for precision, rounds in kept.items()}
    ratios = [fp32 / int8 for fp32, int8 in zip(infer["fp32"], infer["int8"], strict=True)]
    return {
        "threads": timing["threads"],
        "rounds": ROUNDS - WARM_UP,
        "ms": {
            precision: {
                "infer_median": statistics.median(infer[precision]),
                "infer_least": min(infer[precision]),
                "all_median": statistics.median(sum(one.values()) for one in rounds),
            }
            for precision, rounds in kept.items()
        },
        "int8_speed_of_fp32": statistics.median(ratios),
    }


def profile_files(browser: Browser, url: str, folder: Path, bundle: Path) -> dict[str, Any]:
    """What every kind of operator took in the same browser with one thread, median of the rounds, in ms, by file.

    `folder` is the one that `url` serves; the runtime is laid beside the page.
    """
    (folder / "runtime").mkdir()
    for name in RUNTIME_FILES:
        shutil.copyfile(RUNTIME / name, folder / "runtime" / name)
    opened = open_bundle(bundle)
    pixels = read_array(opened, opened.manifest.golden[0].tensor)  # int8 takes longer on a photo than on a pattern
    found = {}
    for precision, target in FILES.items():
        artefact = opened.manifest.artefact(target)
        events = _profile(browser, url, f"{url}bundle/{artefact.path}", pixels)
        found[precision] = _by_kind(events, _depthwise(opened.path(artefact)))
    dots = (RUNTIME / RUNTIME_FILES[-1]).read_bytes().count(DOT_PRODUCT)
    return {"kinds": found, "relaxed_dot_products_in_the_runtime": dots}


def _profile(browser: Browser, url: str, model: str, pixels: NDArray[np.generic]) -> list[dict[str, Any]]:
    """The runtime's events of every node's every run on uint8 [crop, crop, 3]."""
    page = browser.new_page()
    printed: list[str] = []
    page.on("console", lambda message: printed.append(message.text))
    page.goto(f"{url}app.webmanifest")
    page.evaluate(PROFILE, [f"{url}runtime/", model, len(pixels), ROUNDS, pixels.ravel().tolist()])
    page.close()
    text = "\n".join(printed)
    events: list[dict[str, Any]] = json.loads(text[text.index("[\n") : text.rindex("]") + 1])
    return [one for one in events if one["cat"] == "Node" and one["name"].endswith("_kernel_time")]


def _depthwise(model: Path) -> set[str]:
    """Names of the convolutions with a group for every channel."""
    nodes = onnx.load(str(model)).graph.node
    return {node.name for node in nodes if any(one.name == "group" and one.i > 1 for one in node.attribute)}


def _by_kind(events: list[dict[str, Any]], depthwise: set[str]) -> dict[str, dict[str, float]]:
    """Operators, convolutions apart by whether they are depthwise: how many, and the sum of their medians."""
    taken: dict[tuple[str, str], list[float]] = {}
    for event in events:
        operator, name = event["args"]["op_name"], event["name"].removesuffix("_kernel_time")
        if "Conv" in operator:
            kind = "depthwise" if any(name == one or name.startswith(f"{one}_token") for one in depthwise) else "dense"
            operator = f"{operator}, {kind}"
        taken.setdefault((operator, name), []).append(event["dur"] / 1000)
    kinds: dict[str, dict[str, float]] = {}
    for (operator, _), ms in taken.items():
        kind = kinds.setdefault(operator, {"nodes": 0, "ms": 0.0})
        kind["nodes"] += 1
        kind["ms"] = round(kind["ms"] + statistics.median(ms[WARM_UP:]), 3)
    return dict(sorted(kinds.items(), key=lambda item: -item[1]["ms"]))
