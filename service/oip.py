"""The Open Inference Protocol v2 (kserve/open-inference-protocol) between bytes and tensors. Knows no HTTP.

With the binary tensor data extension (tensors behind the JSON) and the classification extension, as Triton's clients
speak them. Whatever bytes come, a MalformedRequest is the worst that happens.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bundle.scores import top_k
from service.errors import MalformedRequest, TooManyItems, UploadTooLarge

IMAGE, ENCODED, PROBABILITIES = "image", "encoded", "probabilities"
EXTENSIONS = ["binary_tensor_data", "classification"]
MAX_CLASSES = 1000
MAX_JSON_BYTES = 8 * 1024 * 1024
"""A number of a tensor takes two bytes of JSON and thirty of memory: large tensors go the binary way."""

Source = bytes | NDArray[np.uint8]
Size = Annotated[int, Field(ge=0, le=1 << 40)]


class _Open(BaseModel):
    """The protocol allows parameters that a server does not know."""

    model_config = ConfigDict(extra="ignore", strict=True)


class InputParameters(_Open):
    """`binary_data_size`: the tensor is this many bytes behind the JSON."""

    binary_data_size: Size | None = None


class Input(_Open):
    """One tensor."""

    name: str
    datatype: str
    shape: Annotated[list[Size], Field(min_length=1, max_length=8)]
    parameters: InputParameters = InputParameters()
    data: list[Any] | None = None


class OutputParameters(_Open):
    """`classification`: that many classes as `probability:index:label` instead of the tensor."""

    binary_data: bool | None = None
    classification: Annotated[int, Field(ge=0, le=MAX_CLASSES)] = 0


class Output(_Open):
    """What is asked for."""

    name: str
    parameters: OutputParameters = OutputParameters()


class RequestParameters(_Open):
    """`binary_data_output`: binary unless an output says otherwise."""

    binary_data_output: bool = False


class InferRequest(_Open):
    """The JSON of a request."""

    id: str | None = None
    inputs: list[Input]
    outputs: Annotated[list[Output], Field(max_length=1)] | None = None
    parameters: RequestParameters = RequestParameters()


class Call(NamedTuple):
    """A request that was understood."""

    id: str | None
    sources: list[Source]
    classes: int
    binary: bool


def parse(body: bytes, json_length: int | None, shape: Sequence[int], max_items: int) -> Call:
    """The pictures of an infer request, and how to answer. `shape` is [H, W, 3] of a UINT8 tensor.

    `json_length` is where the JSON ends and the binary tensors begin; None without any.
    Raises: MalformedRequest, TooManyItems, UploadTooLarge.
    """
    length = len(body) if json_length is None else json_length
    if length > len(body):
        raise MalformedRequest(f"Inference-Header-Content-Length is {length}, the body has {len(body)} bytes")
    if length > MAX_JSON_BYTES:
        raise UploadTooLarge(MAX_JSON_BYTES)
    request = _request(body[:length])
    if len(request.inputs) != 1:
        raise MalformedRequest(f"{len(request.inputs)} inputs, expected one: {ENCODED!r} (BYTES) or {IMAGE!r} (UINT8)")
    (tensor,) = request.inputs
    sources = _sources(tensor, memoryview(body)[length:], shape, max_items)
    output = (request.outputs or [Output(name=PROBABILITIES)])[0]
    if output.name != PROBABILITIES:
        raise MalformedRequest(f"no output {output.name[:80]!r}, expected {PROBABILITIES!r}")
    wanted = output.parameters.binary_data
    binary = request.parameters.binary_data_output if wanted is None else wanted
    return Call(request.id, sources, output.parameters.classification, binary)


def _request(text: bytes) -> InferRequest:
    try:
        return InferRequest.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:80]
        raise MalformedRequest(f"{where or 'the body'}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("the body is not JSON") from error


def _sources(tensor: Input, behind: memoryview, shape: Sequence[int], max_items: int) -> list[Source]:
    size = tensor.parameters.binary_data_size
    if (size is None) == (tensor.data is None):
        raise MalformedRequest(f"input {tensor.name[:80]!r}: either data or binary_data_size was expected")
    if size is None and behind.nbytes:
        raise MalformedRequest(f"{behind.nbytes} bytes behind the JSON that no input claims")
    if size is not None and size != behind.nbytes:
        raise MalformedRequest(f"binary_data_size is {size}, {behind.nbytes} bytes follow the JSON")
    if tensor.shape[0] > max_items:
        raise TooManyItems(max_items)
    if tensor.shape[0] == 0:
        raise MalformedRequest("an empty batch")
    kind = (tensor.name, tensor.datatype)
    if kind == (IMAGE, "UINT8"):
        return _pixels(tensor, behind, shape)
    if kind == (ENCODED, "BYTES"):
        return _encoded(tensor, behind)
    found = f"input {tensor.name[:80]!r} of {tensor.datatype[:20]!r}"
    raise MalformedRequest(f"{found}, expected {ENCODED!r} of 'BYTES' or {IMAGE!r} of 'UINT8'")


def _pixels(tensor: Input, behind: memoryview, shape: Sequence[int]) -> list[Source]:
    if tensor.shape[1:] != list(shape):
        raise MalformedRequest(f"shape {tensor.shape}, expected [N, {', '.join(map(str, shape))}]")
    array = np.frombuffer(behind, np.uint8) if tensor.data is None else _from_list(tensor.data)
    if array.size != np.prod(tensor.shape):
        raise MalformedRequest(f"{array.size} values for shape {tensor.shape}")
    return list(array.reshape(tensor.shape))


def _from_list(data: list[Any]) -> NDArray[np.uint8]:
    try:
        array = np.array(data)
    except (ValueError, OverflowError) as error:  # ragged lists, numbers beyond 64 bits
        raise MalformedRequest("data is not an array of whole numbers from 0 to 255") from error
    if array.dtype.kind not in "iu" or array.min(initial=0) < 0 or array.max(initial=0) > 255:
        raise MalformedRequest("data is not an array of whole numbers from 0 to 255")
    return array.astype(np.uint8).ravel()


def _encoded(tensor: Input, behind: memoryview) -> list[Source]:
    if any(size != 1 for size in tensor.shape[1:]):
        raise MalformedRequest(f"shape {tensor.shape}, expected [N] or [N, 1]")
    found = _elements(behind) if tensor.data is None else _from_base64(tensor.data)
    if len(found) != tensor.shape[0]:
        raise MalformedRequest(f"{len(found)} pictures for shape {tensor.shape}")
    return found


def _elements(behind: memoryview) -> list[Source]:
    """Each element is its length in 4 bytes, little endian, and its bytes."""
    found: list[Source] = []
    position = 0
    while position < behind.nbytes:
        if position + 4 > behind.nbytes:
            raise MalformedRequest("a BYTES element without its length")
        (length,) = struct.unpack_from("<I", behind, position)
        position += 4 + length
        if position > behind.nbytes:
            raise MalformedRequest("a BYTES element that is longer than what follows")
        found.append(bytes(behind[position - length : position]))
    return found


def _from_base64(data: list[Any]) -> list[Source]:
    """JSON has no bytes: encoded pictures are base64 there, one string each."""
    flat = [item[0] if isinstance(item, list) and len(item) == 1 else item for item in data]
    if not all(isinstance(item, str) for item in flat):
        raise MalformedRequest("data of BYTES in JSON is one base64 string per picture")
    try:
        return [base64.b64decode(item, validate=True) for item in flat]
    except (binascii.Error, ValueError) as error:
        raise MalformedRequest("data of BYTES in JSON is one base64 string per picture") from error


def classified(probabilities: NDArray[np.float32], labels: Sequence[str], k: int) -> list[str]:
    """`probability:index:label`, best first, as the classification extension has it."""
    return [f"{one.probability:f}:{one.index}:{one.label}" for one in top_k(probabilities, labels, k)]


def respond(call: Call, name: str, version: str, answers: Sequence[Any]) -> tuple[bytes, int | None]:
    """The body, and where its JSON ends when binary data follows. `answers` are float32 [K] or lists of strings."""
    output: dict[str, Any]
    if call.classes:
        output = {"name": PROBABILITIES, "datatype": "BYTES", "shape": [len(answers), len(answers[0])]}
        texts = [text for answer in answers for text in answer]
        data = b"".join(struct.pack("<I", len(raw)) + raw for raw in (text.encode() for text in texts))
        plain: list[Any] = texts
    else:
        table = np.stack(answers).astype("<f4")
        output = {"name": PROBABILITIES, "datatype": "FP32", "shape": list(table.shape)}
        data, plain = (table.tobytes(), []) if call.binary else (b"", table.ravel().tolist())
    if call.binary:
        output["parameters"] = {"binary_data_size": len(data)}
    else:
        output["data"] = plain
    head: dict[str, Any] = {"model_name": name, "model_version": version, "outputs": [output]}
    if call.id is not None:
        head["id"] = call.id
    text = json.dumps(head).encode()
    return (text + data, len(text)) if call.binary else (text, None)


def metadata(name: str, versions: Sequence[str], shape: Sequence[int], classes: int) -> dict[str, Any]:
    """What GET /v2/models/NAME answers: either input may be sent, never both."""
    return {
        "name": name,
        "versions": list(versions),
        "platform": "convoy",
        "inputs": [
            {"name": ENCODED, "datatype": "BYTES", "shape": [-1]},
            {"name": IMAGE, "datatype": "UINT8", "shape": [-1, *shape]},
        ],
        "outputs": [{"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, classes]}],
    }
