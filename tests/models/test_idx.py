from __future__ import annotations

import gzip
import io
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.data import read_evaluation_pictures, read_training_data
from models.errors import BadIdx, IdxPairMissing, TooFewClasses, UnknownLabel
from models.idx import read_header
from models.pixels import PixelStore, Spool

PIXELS = np.arange(12 * 4 * 5, dtype=np.uint8).reshape(12, 4, 5)
VALUES = np.array([0, 1, 2] * 4, dtype=np.uint8)


def read(path: Path, **options: object):
    return read_training_data(path, **{"validation_share": 0.25, "seed": 1, **options})  # type: ignore[arg-type]


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_pair(folder: Path, part: str = "train", pixels: bytes | None = None, values: bytes | None = None) -> Path:
    """The images' path."""
    folder.mkdir(exist_ok=True)
    images = folder / f"{part}-images-idx3-ubyte"
    images.write_bytes(idx(PIXELS) if pixels is None else pixels)
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(VALUES) if values is None else values)
    return images


@pytest.mark.parametrize("packed", [False, True])
def test_a_pair_is_split_with_the_seed(tmp_path: Path, packed: bool) -> None:
    for path in (write_pair(tmp_path / "a"), tmp_path / "a" / "train-labels-idx1-ubyte"):
        if packed:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    data = read(tmp_path / "a")
    assert data.classes == ("0", "1", "2")
    assert (len(data.train.samples), len(data.validation.samples)) == (9, 3)
    for sample in data.train.samples:
        number = int(sample.path.stem)
        assert sample.label == VALUES[number]
        np.testing.assert_array_equal(np.asarray(sample.image()), PIXELS[number][..., None].repeat(3, axis=2))


def test_gzip_and_plain_are_the_same_data_and_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    plain = read(write_pair(tmp_path / "a"))
    contents = [sample.read() for sample in plain.train.samples]
    for path in list((tmp_path / "a").iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    packed = read(tmp_path / "a")
    assert packed.train.fingerprint == plain.train.fingerprint
    assert packed.validation.fingerprint == plain.validation.fingerprint
    assert len(list(scratch.iterdir())) == 1
    copied = pickle.loads(pickle.dumps(packed.train.samples))
    assert [sample.read() for sample in copied] == contents
    del copied
    assert len(list(scratch.iterdir())) == 1
    del packed
    assert list(scratch.iterdir()) == []


def test_train_and_t10k_are_two_parts(tmp_path: Path) -> None:
    write_pair(tmp_path / "a")
    write_pair(tmp_path / "a", "t10k", idx(PIXELS[:2]), idx(np.array([2, 2], dtype=np.uint8)))
    data = read(tmp_path / "a")
    assert data.test is not None
    assert [sample.label for sample in data.test.samples] == [2, 2]
    assert len(data.leaks) == 2
    assert len(read_evaluation_pictures(tmp_path / "a", ("2", "1", "0")).samples) == 2
    assert read_evaluation_pictures(tmp_path / "a", ("2", "1", "0")).samples[0].label == 0


def test_values_may_begin_anywhere(tmp_path: Path) -> None:
    images = write_pair(tmp_path / "a", values=idx(VALUES + 9))
    assert read(images).classes == ("9", "10", "11")
    with pytest.raises(UnknownLabel, match="'9'"):
        read_evaluation_pictures(images, ("10", "11"))


def header(*sizes: int, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{len(sizes)}I", 0, kind, len(sizes), *sizes)


@pytest.mark.parametrize(
    ("pixels", "values", "message"),
    [
        (b"", None, "does not begin as an idx file"),
        (b"\x89PNG", None, "does not begin as an idx file"),
        (b"\0\0\x08\x03\0\0", None, "the header ends early"),
        (header(12, 4, 5, kind=13), None, "type 0x0d in 3 dimensions"),
        (header(12, 20), None, "in 2 dimensions, where unsigned bytes"),
        (header(12, 4, 5), None, "claims 12 pictures of 4×5, 0 bytes follow"),
        (idx(PIXELS) + b"x", None, "more bytes follow"),
        (header(12, 0, 5), None, "claims 12×0×5 values"),
        (header(2**32 - 1, 2**32 - 1, 28), None, "the header claims 4294967295×"),
        (gzip.compress(idx(PIXELS), mtime=0)[:60], None, "train-images-idx3-ubyte: "),
        (gzip.compress(idx(PIXELS) + bytes(10**6), mtime=0), None, "more bytes follow"),
        (b"\x1f\x8b" + b"x" * 40, None, "train-images-idx3-ubyte: "),
        (None, idx(VALUES[:5]), "12 pictures, but 5 labels"),
        (None, idx(PIXELS), "train-labels-idx1-ubyte: type 0x08 in 3 dimensions"),
        (None, header(12), "claims 12 labels, the file holds 0 bytes"),
    ],
)
def test_broken_files_say_what_is_wrong(
    tmp_path: Path, pixels: bytes | None, values: bytes | None, message: str
) -> None:
    with pytest.raises(BadIdx, match=message):
        read(write_pair(tmp_path / "a", pixels=pixels, values=values))


def test_images_need_their_labels(tmp_path: Path) -> None:
    images = write_pair(tmp_path / "a")
    (tmp_path / "a" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(IdxPairMissing, match=r"expected train-labels-idx1-ubyte or train-labels-idx1-ubyte\.gz"):
        read(images)


def test_one_class_is_no_data(tmp_path: Path) -> None:
    with pytest.raises(TooFewClasses):
        read(write_pair(tmp_path / "a", values=idx(VALUES * 0)))


def test_two_pairs_must_say_which_is_which(tmp_path: Path) -> None:
    write_pair(tmp_path / "a")
    write_pair(tmp_path / "a", "more")
    with pytest.raises(BadIdx, match=r"called train-… or t10k-…, not 'more'"):
        read(tmp_path / "a")


@given(st.binary(max_size=40), st.sampled_from([1, 3]))
def test_any_header_is_a_shape_or_one_clear_error(data: bytes, dimensions: int) -> None:
    try:
        shape = read_header(io.BytesIO(data), Path("x"), dimensions)
    except BadIdx as error:
        assert str(error).startswith("x: ")
    else:
        assert header(*shape) == data[: 4 + 4 * dimensions]


@given(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9), st.booleans(), st.randoms(use_true_random=False))
def test_pixels_come_back_as_they_were(count: int, height: int, width: int, colour: bool, random) -> None:
    shape = (height, width, 3) if colour else (height, width)
    pixels = np.frombuffer(random.randbytes(count * int(np.prod(shape))), np.uint8).reshape(count, *shape)
    spool = Spool()
    spool.path.write_bytes(b"head" + pixels.tobytes())
    store = PixelStore(spool, Path("pixels"), 4, shape)
    for number in range(count):
        expected = pixels[number] if colour else pixels[number][..., None].repeat(3, axis=2)
        np.testing.assert_array_equal(np.asarray(store.sample(number, None).image()), expected)


def test_mnists_test_half(test_data: Path) -> None:
    data = read(test_data / "mnist", validation_share=0.2)
    counts = np.bincount([sample.label or 0 for part in data.parts.values() for sample in part.samples])
    assert counts.tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert (len(data.train.samples), len(data.validation.samples)) == (8000, 2000)
    alone = read_evaluation_pictures(test_data / "mnist" / "t10k-images-idx3-ubyte.gz", data.classes)
    assert len(alone.samples) == 10000
    corners = [np.asarray(sample.image())[0, 0, 0] for sample in alone.samples[:50]]
    assert set(corners) == {0}
