"""Run by LiteRT's own Python: labels and preprocessing go into a .tflite file, as TensorFlow Lite's metadata has it.

A flatbuffer (identifier M001, https://github.com/tensorflow/tflite-support, metadata_schema.fbs) describes the tensors
and names the label file; the files themselves are a zip archive behind the model. MediaPipe's and ML Kit's classifiers
read both. Order: {"path", "name", "labels", "convoy", "size"}. Answer: {}. Imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

ENTRY = "TFLITE_METADATA"
LABELS = "labels.txt"
CONVOY = "convoy.json"

_DESCRIPTIONS, _TENSOR_AXIS_LABELS = 1, 2  # AssociatedFileType
_FEATURE, _IMAGE = 1, 2  # ContentProperties
_RGB = 1  # ColorSpaceType

Field = tuple[int, Callable[[flatbuffers.Builder, int], None]]


def main() -> None:
    """Answer the one order."""
    order: dict[str, Any] = json.loads(sys.stdin.read())
    path = Path(order["path"])
    model = flatbuffer_utils.read_model(str(path))
    _attach(model, describe(order["name"], order["size"]))
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    with zipfile.ZipFile(path, "a") as archive:
        for name, text in ((LABELS, "\n".join(order["labels"]) + "\n"), (CONVOY, order["convoy"])):
            archive.writestr(zipfile.ZipInfo(name), text)  # stored, and dated 1980: the same file each time
    print("{}")


def _attach(model: Any, content: bytes) -> None:
    """Into the model's own buffer for it, which a quantized file has from the float one."""
    for entry in model.metadata or []:
        if entry.name in (ENTRY, ENTRY.encode()):
            model.buffers[entry.buffer].data = content
            return
    buffer = schema.BufferT()
    buffer.data = content
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = ENTRY, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def describe(name: str, size: int) -> bytes:
    """The flatbuffer: an RGB picture of `size` pixels in, a probability for each line of the label file out."""
    builder = flatbuffers.Builder(1024)
    square = _table(builder, [_uint(0, size), _uint(1, size)])
    image = _table(builder, [_byte(0, _RGB), _offset(1, square)])
    picture = _tensor(
        builder, "image", "RGB, 0 to 255; mean and std are inside the model", (_IMAGE, image), (0, 255), []
    )
    labels = _file(builder, LABELS, "one class a line, in the order of the output", _TENSOR_AXIS_LABELS)
    feature = _table(builder, [])
    answers = _tensor(builder, "probability", "of each class", (_FEATURE, feature), (0, 1), [labels])
    graph = _table(builder, [_offset(2, _vector(builder, [picture])), _offset(3, _vector(builder, [answers]))])
    convoy = _file(builder, CONVOY, "name, labels and preprocessing as JSON", _DESCRIPTIONS)
    root = _table(
        builder,
        [
            _offset(0, builder.CreateString(name)),
            _offset(3, _vector(builder, [graph])),
            _offset(6, _vector(builder, [convoy])),
            _offset(7, builder.CreateString("1.0.0")),
        ],
    )
    builder.Finish(root, file_identifier=b"M001")
    return bytes(builder.Output())


def _tensor(
    builder: flatbuffers.Builder,
    name: str,
    text: str,
    kind: tuple[int, int],
    limits: tuple[float, float],
    files: list[int],
) -> int:
    content = _table(builder, [_byte(0, kind[0]), _offset(1, kind[1])])
    low, high = limits
    stats = _table(builder, [_offset(0, _floats(builder, [high])), _offset(1, _floats(builder, [low]))])
    fields = [
        _offset(0, builder.CreateString(name)),
        _offset(1, builder.CreateString(text)),
        _offset(3, content),
        _offset(5, stats),
    ]
    if files:
        fields.append(_offset(6, _vector(builder, files)))
    return _table(builder, fields)


def _file(builder: flatbuffers.Builder, name: str, text: str, kind: int) -> int:
    return _table(
        builder, [_offset(0, builder.CreateString(name)), _offset(1, builder.CreateString(text)), _byte(2, kind)]
    )


def _table(builder: flatbuffers.Builder, fields: Sequence[Field]) -> int:
    """A table whose parts are already built. Returns its offset."""
    builder.StartObject(max((slot for slot, _ in fields), default=-1) + 1)
    for slot, put in fields:
        put(builder, slot)
    return int(builder.EndObject())


def _offset(slot: int, value: int) -> Field:
    return slot, lambda builder, at: builder.PrependUOffsetTRelativeSlot(at, value, 0)


def _byte(slot: int, value: int) -> Field:
    return slot, lambda builder, at: builder.PrependInt8Slot(at, value, 0)


def _uint(slot: int, value: int) -> Field:
    return slot, lambda builder, at: builder.PrependUint32Slot(at, value, 0)


def _vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: flatbuffers.Builder, values: Sequence[float]) -> int:
    builder.StartVector(4, len(values), 4)
    for value in reversed(values):
        builder.PrependFloat32(value)
    return int(builder.EndVector())


if __name__ == "__main__":
    main()
