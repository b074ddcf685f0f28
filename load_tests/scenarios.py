"""What is sent: the pictures of a folder as requests, each with the answer that it must get."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from load_tests.answers import Expected, WrongAnswer, find_images, first_of, read_expected
from load_tests.errors import LinesInvalid, ListInvalid, NoPictures
from load_tests.hostile import RAW, hostile_cases, listed_cases
from load_tests.outcome import Case, detail
from load_tests.target import Target, batch_path, predict_path

MOST_PICTURES = 200
MOST_BYTES = 64 * 1024 * 1024
"""Of all requests together: they are held in memory by every process."""
SIZES = {"small": 96, "middle": 640, "large": 2000}
"""Long side of the pictures of the mixed scenario, pixels."""
MIXED_PICTURES = 24
CLASSES = 5
_BOUNDARY = "convoy-load-test-boundary"
_FORM = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}


@dataclass(frozen=True)
class Picture:
    """A file's bytes and the class that it must be answered with."""

    name: str
    data: bytes = field(repr=False)
    expected: Expected


@dataclass(frozen=True)
class Material:
    """What a scenario is built from. `left_out`: which pictures are not sent, and why."""

    model: str
    pictures: Sequence[Picture]
    left_out: Sequence[str]
    hostile: Path | None = None
    batch_size: int = 8


def read_material(
    target: Target, model: str, folder: Path, expected: Path | None, *, hostile: Path | None, batch_size: int
) -> Material:
    """The folder's pictures with their answers: of the file `expected`, else asked for once before the load.

    Raises: NoPictures, ListInvalid, NotTheService.
    """
    contents, found = read_pictures(folder)
    thinned = [f"{found - len(contents)} of {found} pictures: no more are sent"] if len(contents) < found else []
    if expected is None:
        answers, refused = ask_all(target, model, contents)
    else:
        answers, refused = known_answers(expected, contents), []
        if unknown := len(contents) - len(answers):
            refused = [f"{unknown} of {len(contents)} pictures: not in {expected}"]
    pictures = [Picture(name, data, answers[name]) for name, data in contents.items() if name in answers]
    if not pictures:
        reason = f"none of its images is in {expected}" if expected else f"the service reads none of them: {refused[0]}"
        raise NoPictures(f"{folder}: {reason}")
    return Material(model, pictures, [*thinned, *refused], hostile, batch_size)


def read_pictures(folder: Path) -> tuple[dict[str, bytes], int]:
    """By path in the folder, at most MOST_PICTURES spread over it, and MOST_BYTES; and how many the folder has.

    Raises: NoPictures.
    """
    try:
        paths = find_images(folder)
    except FileNotFoundError as error:
        raise NoPictures(str(error)) from error
    step = max(1.0, len(paths) / MOST_PICTURES)
    chosen = [paths[int(number * step)] for number in range(int(len(paths) / step))]
    contents: dict[str, bytes] = {}
    for path in chosen:
        data = path.read_bytes()
        if contents and sum(map(len, contents.values())) + len(data) > MOST_BYTES:
            break
        contents[str(path.relative_to(folder))] = data
    return contents, len(paths)


def known_answers(file: Path, contents: dict[str, bytes]) -> dict[str, Expected]:
    """Of the file, by path; of pictures with the same name in two folders only the first, as its lines name no more.

    Raises: ListInvalid.
    """
    try:
        by_name = read_expected(file)
    except UnicodeError as error:
        raise ListInvalid(file, str(error)) from error
    except (ValueError, OSError) as error:
        raise LinesInvalid(error) from error
    paths = {Path(path).name: path for path in reversed(contents)}
    return {paths[name]: expected for name, expected in by_name.items() if name in paths}


def ask_all(target: Target, model: str, contents: dict[str, bytes]) -> tuple[dict[str, Expected], list[str]]:
    """Each picture once: its answer, or why it has none. Raises: NotTheService."""
    answers, refused = {}, []
    for name, data in contents.items():
        reply = target.ask("POST", predict_path(model), RAW, data)
        try:
            if reply.status == 200:
                answers[name] = first_of(json.loads(reply.body))
            else:
                refused.append(f"{name}: {reply.status} {detail(reply)}")
        except (WrongAnswer, ValueError) as error:
            refused.append(f"{name}: {error}")
    return answers, refused


def _raw(material: Material, picture: Picture, kind: str = "single, as the body", weight: float = 3.0) -> Case:
    expected = ((picture.expected.label, picture.expected.probability),)
    path = predict_path(material.model)
    return Case(kind, path, RAW, picture.data, (200,), expected, weight=weight, name=picture.name)


def _form(field: str, pictures: Sequence[Picture]) -> bytes:
    parts = []
    for number, picture in enumerate(pictures):
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{number}"\r\n'
        parts += [f"{head}Content-Type: application/octet-stream\r\n\r\n".encode(), picture.data, b"\r\n"]
    return b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])


def _answers(pictures: Sequence[Picture]) -> tuple[tuple[str, float], ...]:
    return tuple((picture.expected.label, picture.expected.probability) for picture in pictures)


def single(material: Material, _: Target) -> list[Case]:
    """Three of four pictures as the body, one as a form."""
    cases = []
    for picture in material.pictures:
        body, expected = _form("image", [picture]), _answers([picture])
        cases.append(_raw(material, picture))
        path = predict_path(material.model)
        cases.append(Case("single, as a form", path, _FORM, body, (200,), expected, name=picture.name))
    return cases


def groups(material: Material) -> list[list[Picture]]:
    """As many groups as there are pictures or batches of them, each of `batch_size`, going round."""
    pictures, size = list(material.pictures), material.batch_size
    count = max(1, len(pictures) // size)
    return [[pictures[(number * size + offset) % len(pictures)] for offset in range(size)] for number in range(count)]


def batch(material: Material, _: Target) -> list[Case]:
    """`batch_size` pictures in a form to /predict_batch, answered in order."""
    path = batch_path(material.model)
    return [
        Case(
            f"batch of {len(group)}",
            path,
            _FORM,
            _form("images", group),
            expected=_answers(group),
            shape="batch",
            name=", ".join(picture.name for picture in group),
        )
        for group in groups(material)
    ]


def oip(material: Material, _: Target) -> list[Case]:
    """The Open Inference Protocol: encoded pictures in a BYTES tensor behind the JSON, the best classes asked for."""
    lone = [[picture] for picture in material.pictures]
    return [_infer(material, group) for group in [*lone, *groups(material)]]


def _infer(material: Material, group: Sequence[Picture]) -> Case:
    tensor = b"".join(len(picture.data).to_bytes(4, "little") + picture.data for picture in group)
    document = {
        "inputs": [
            {
                "name": "encoded",
                "datatype": "BYTES",
                "shape": [len(group)],
                "parameters": {"binary_data_size": len(tensor)},
            }
        ],
        "outputs": [{"name": "probabilities", "parameters": {"classification": CLASSES, "binary_data": False}}],
    }
    text = json.dumps(document).encode()
    headers = {**RAW, "Inference-Header-Content-Length": str(len(text))}
    path = f"/v2/models/{quote(material.model, safe='')}/infer"
    kind = "OIP, one picture" if len(group) == 1 else f"OIP, {len(group)} pictures"
    name = ", ".join(picture.name for picture in group)
    return Case(kind, path, headers, text + tensor, expected=_answers(group), shape="oip", name=name)


def mixed(material: Material, target: Target) -> list[Case]:
    """The pictures at three sizes, drawn alike; the answers of the resized ones are asked for before the load."""
    cases = []
    for size, pixels in SIZES.items():
        contents = {
            f"{size} {picture.name}": resized(picture.data, pixels) for picture in material.pictures[:MIXED_PICTURES]
        }
        answers, refused = ask_all(target, material.model, contents)
        if not answers:
            raise NoPictures(f"the service reads none of the {size} pictures: {refused[0]}")
        for name, expected in answers.items():
            picture = Picture(name, contents[name], expected)
            cases.append(_raw(material, picture, f"{size}, {pixels} px", 1 / len(answers)))
    return cases


def resized(data: bytes, pixels: int) -> bytes:
    """A JPEG of the picture with so long a side."""
    with Image.open(io.BytesIO(data)) as image:
        scale = pixels / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        buffer = io.BytesIO()
        image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def hostile(material: Material, _: Target) -> list[Case]:
    """As many sound pictures as hostile requests: those must be answered as if these were not there."""
    bad = hostile_cases(material.pictures[0].data, material.model)
    if material.hostile is not None:
        bad += list(listed_cases(material.hostile, material.model))
    weight = len(bad) / len(material.pictures)
    return [*(_raw(material, picture, weight=weight) for picture in material.pictures), *bad]


SCENARIOS: dict[str, Callable[[Material, Target], list[Case]]] = {
    "single": single,
    "batch": batch,
    "oip": oip,
    "mixed": mixed,
    "hostile": hostile,
}
