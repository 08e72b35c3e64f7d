"""Files are read with limits, and errors begin with the path."""

import io
import json
import os
import re
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from sslmot import reading

READERS = (
    reading.read,
    reading.read_text,
    reading.read_json,
    reading.read_yaml,
    reading.read_array,
    reading.mapped_array,
    lambda path: reading.read_members(path, "an archive"),
)


@pytest.mark.parametrize("read", READERS)
def test_only_regular_files_are_read(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "zeros").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a pipe"), ("folder", "a folder"), ("zeros", "a pipe, socket")):
        path = tmp_path / name
        with pytest.raises(
            ValueError, match=f"^{re.escape(str(path))}: expected a regular.*{kind}"
        ):
            read(path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="null byte"):
        read("a\0b")


def test_a_file_that_is_too_long(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"1234")
    assert reading.read(path, 4) == b"1234"
    with pytest.raises(ValueError, match=r"file: expected at most 3 bytes"):
        reading.read(path, 3)


def test_a_name_that_is_too_long_is_no_file():
    assert not reading.is_file("a" * 5000)


@pytest.mark.parametrize(
    "text", ["[" * 20_000, '{"a":' * 20_000, '["\\"]", ' + "[" * 17, "[[1]", ""]
)
def test_json_that_is_deep_or_malformed(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"file\.json: expected JSON"):
        reading.read_json(path)


def test_brackets_in_strings_do_not_count_as_levels(tmp_path):
    content = {"text": "[" * 100 + '"{{\\"' * 10, "levels": [[[[1]]]]}
    (tmp_path / "file.json").write_text(json.dumps(content))
    assert reading.read_json(tmp_path / "file.json") == content


@pytest.mark.parametrize(
    "text",
    [
        "[" * 20_000,
        "a: " + "{b: " * 17 + "1" + "}" * 17,
        # Each letter doubles the expanded size of the one before.
        "a: &a [x, x]\n"
        + "\n".join(f"{b}: &{b} [*{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
        "a: !!int ''",
        "a: !!bool x",
        "a: !!timestamp x",
        "a: 2001-99-99",
        "a: " + "9" * 5000,
        "a: 1:" + "59:" * 400 + "1.5",
        "? [a]\n: 1",
    ],
)
def test_yaml_that_is_deep_or_malformed(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"file\.yaml: expected YAML"):
        reading.read_yaml(path)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array("text"),
        np.float32(3),
        np.zeros((0, 4), np.uint8),
        np.array([True, False]),
        np.arange(3, dtype=">i4"),
    ],
)
def test_arrays_are_read_as_they_were_saved(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    for read in (reading.read_array, reading.mapped_array):
        got = read(tmp_path / "a.npy")
        assert got.dtype == np.asarray(array).dtype
        np.testing.assert_array_equal(got, array)


def header(change, data=bytes(48)):
    made = io.BytesIO()
    np.save(made, np.zeros(6))
    text = made.getvalue()[10:128].decode()
    text = change(text).encode("latin-1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        header(lambda text: text, bytes(47)),
        header(lambda text: text, bytes(49)),
        header(lambda text: text.replace("(6,)", f"({10**12},)")),
        header(lambda text: text.replace("(6,)", f"({10**17}, {10**17}, {10**17})")),
        header(lambda text: text.replace("(6,)", "(-6,)")),
        header(lambda text: text.replace("(6,)", "(6")),
        header(lambda text: text.replace("<f8", "|O")),
        header(lambda text: text.replace("<f8", "<f7")),
        header(lambda text: text.replace("<f8", "|b1").replace("6", "48"), b"\2" * 48),
    ],
)
def test_a_malformed_array(tmp_path, data):
    path = tmp_path / "a.npy"
    path.write_bytes(data)
    tracemalloc.start()
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: expected"):
        reading.read_array(path)
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


def test_each_damaged_header_is_rejected_or_harmless(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(6.0))
    whole = path.read_bytes()
    for place in range(128):
        for value in (0, 0x0A, 0x28, 0x39, 0x80, whole[place] ^ 1):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                assert reading.read_array(path).nbytes == 48
            except ValueError as error:
                if not str(error).startswith(str(path)):
                    raise


def test_members_of_an_archive_are_bounded(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10**7))
        archive.writestr("text", "text")
    with pytest.raises(ValueError, match=r"a\.zip: expected a bomb, got more than \d+ bytes"):
        reading.read_members(path, "a bomb")
    assert reading.read_members(path, "a text", ["text"]) == {"text": b"text"}
    with pytest.raises(ValueError, match=r"a\.zip: expected a text, got .*none"):
        reading.read_members(path, "a text", ["none"])
    # A wrong declared length has no effect: only that many bytes are decompressed.
    lie = path.read_bytes().replace(struct.pack("<I", 10**7), struct.pack("<I", 100))
    path.write_bytes(lie)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a\.zip: expected zeros"):
        reading.read_members(path, "zeros", ["zeros"])
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()


@pytest.mark.parametrize("way", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_rejected(tmp_path, way):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", way) as archive:
        archive.writestr("text", "text")
    with pytest.raises(ValueError, match=r"a\.zip: expected a text, got an unknown compression"):
        reading.read_members(tmp_path / "a.zip", "a text", ["text"])
