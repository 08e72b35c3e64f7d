"""Readers of files and settings: a damaged file gives an error with its path, or is read.

A target takes a random generator and runs one case: it damages a valid file and reads it.
Documented errors are caught. Other errors and RuntimeWarnings are faults.
"""

from __future__ import annotations

import atexit
import functools
import io
import json
import os
import re
import shutil
import struct
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

Rng = np.random.Generator

NUMBERS = (
    *("0", "-1", "1", "-0", "1.5", "1e-320", "1e30", "-1e30", "1e308", "1e999", "nan", "NaN"),
    *("inf", "-inf", "Infinity", "127", "128", "255", "256", "65535", "65536", "9999999"),
    *("10000000", "10000001", "2147483647", "2147483648", "4294967295", "-2147483648"),
    *("9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808"),
    *("18446744073709551616", "1" + "0" * 30, "9" * 400, "9" * 5000, "0x" + "f" * 5000),
    *("1_000", "0o17", "1:30:59", "true", "null", "''", "x", "\uff12"),
)
"""Replacements of numbers in texts."""

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 1.5, 1e30, 1e308, float("nan"), float("inf"), -float("inf")),
    *(2**31 - 1, 2**31, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64, -(2**63), 10**9, 10**12, 10**30),
    *("", "x", "1e-4", "\ud800", "\0", "a" * 300, "../..", "/dev/zero"),
    *([], {}, [[]], [None], [1], [16384] * 40, [2**40], {"x": 1}, ["a", "b"]),
)
"""Replacements of JSON values."""

_CHUNK = 64  # maximum number of bytes that are moved


# Damage


def damage_bytes(rng: Rng, data: bytes) -> bytes:
    """Truncate, flip, splice, repeat or overwrite bytes, a few times."""
    out = bytearray(data)
    for _ in range(1 + rng.geometric(0.5)):
        if not out:
            return bytes(out)
        place, length = int(rng.integers(len(out))), int(rng.integers(1, _CHUNK))
        match rng.integers(9):
            case 0:
                del out[place:]
            case 1:
                out[place] ^= 1 << int(rng.integers(8))
            case 2:
                out[place] = int(rng.integers(256))
            case 3:
                del out[place : place + length]
            case 4:
                out[place:place] = out[place : place + length] * int(rng.integers(1, 20))
            case 5:
                other = int(rng.integers(len(out)))
                out[place : place + length] = out[other : other + length]
            case 6:
                size = int(rng.choice([1, 2, 4, 8]))
                value = int(rng.choice([0, 1, 0x7F, 0xFF]))
                out[place : place + size] = bytes([value]) * size
            case 7:
                out[place:place] = rng.bytes(length)
            case 8:
                out = out[: int(rng.integers(40))]
    return bytes(out)


def damage_text(rng: Rng, text: str) -> bytes:
    """Change numbers, lines or separators of a text, or its bytes."""
    for _ in range(int(rng.geometric(0.6))):
        lines = text.split("\n")
        i, j = (int(n) for n in rng.integers(len(lines), size=2))
        match rng.integers(9):
            case 0 | 1 | 2:
                found = list(re.finditer(r"-?\d+(?:\.\d+)?", text))
                if found:
                    at = found[int(rng.integers(len(found)))]
                    text = text[: at.start()] + str(rng.choice(NUMBERS)) + text[at.end() :]
                continue
            case 3:
                del lines[i]
            case 4:
                lines.insert(i, lines[j])
            case 5:
                lines[i] = lines[i][: int(rng.integers(len(lines[i]) + 1))]
            case 6:
                lines[i] += str(
                    rng.choice([",", ",1", ";", " ", "\t", "\r", "\x0b", "\0", "#", ":"])
                )
            case 7:
                lines[i] = lines[i].replace(",", str(rng.choice([" ", ";", ",,", "\t"])))
            case 8:
                deep = int(rng.choice([3, 17, 2000, 20000]))
                lines[i] += str(rng.choice(["[", "{a: ", "- ", "&a [*a, ", "!!int ", "? "])) * deep
        text = "\n".join(lines)
    data = text.encode("utf-8", "surrogateescape")
    return damage_bytes(rng, data) if rng.random() < 0.2 else data


def damage_value(rng: Rng, value: Any) -> Any:
    """Change, delete or nest one node of a JSON value."""
    if isinstance(value, (dict, list)) and value and rng.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = keys[int(rng.integers(len(keys)))]
        changed = dict(value) if isinstance(value, dict) else list(value)
        match rng.integers(8):
            case 0:
                del changed[key]
            case 1 if isinstance(changed, dict):
                changed[str(rng.choice(["x", "", f"{key} "]))] = changed.pop(key)
            case 1 | 2 if isinstance(changed, list):
                changed[key:key] = [changed[key]] * int(rng.integers(1, 50))
            case _:
                changed[key] = damage_value(rng, changed[key])
        return changed
    new = VALUES[int(rng.integers(len(VALUES)))]
    return [value] if rng.random() < 0.1 else new


def damage_json(rng: Rng, value: Any) -> str:
    """Change a node of a JSON value, or its text."""
    text = json.dumps(damage_value(rng, value))
    match rng.integers(12):
        case 0:
            deep = int(rng.choice([17, 1000, 100_000]))
            place = int(rng.integers(len(text) + 1))
            return text[:place] + str(rng.choice(["[", '{"a":', '"\\"'])) * deep + text[place:]
        case 1:
            return damage_text(rng, text).decode("utf-8", "replace")
    return text


def damage_npy(rng: Rng, data: bytes) -> bytes:
    """Change the declared shape or dtype of an array, or any bytes of its file."""
    if rng.random() < 0.3:
        return damage_bytes(rng, data)
    (length,) = struct.unpack_from("<H", data, 8)
    header, rest = data[10 : 10 + length].decode(), data[10 + length :]
    match rng.integers(6):
        case 0 | 1:
            shape = ", ".join(str(rng.choice(NUMBERS)) for _ in range(rng.integers(1, 6)))
            header = re.sub(r"\(.*\)", lambda _: f"({shape},)", header)
        case 2:
            kinds = ("<f8", "<i4", "|b1", "|u1", "<U9", "<f2", "|O", "|V8", "<U99999999", "<M8[ns]")
            header = re.sub(r"'descr': '[^']*'", f"'descr': '{rng.choice(kinds)}'", header)
        case 3:
            header = header.replace("False", str(rng.choice(["True", "None", "0", "False)"])))
        case 4:
            header = damage_text(rng, header).decode("latin-1")
        case 5:
            rest = damage_bytes(rng, rest)
    made = header.encode("latin-1", "replace")[:60000]
    return data[:8] + struct.pack("<H", len(made)) + made + rest


def damage_zip(rng: Rng, data: bytes, damage: Callable[[Rng, str, bytes], bytes]) -> bytes:
    """Change a member of an archive, its compression, or any bytes."""
    if rng.random() < 0.25:
        return damage_bytes(rng, data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[int(rng.integers(len(members)))]
    match rng.integers(8):
        case 0:
            del members[name]
        case 1:
            members["more.npy"] = members[name]
        case 2:
            members[name] = bytes(10**7)
        case _:
            members[name] = damage(rng, name, members[name])
    packed = io.BytesIO()
    ways = (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(packed, "w", int(rng.choice(ways))) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    made = packed.getvalue()
    return damage_bytes(rng, made) if rng.random() < 0.2 else made


def damage_safetensors(rng: Rng, data: bytes) -> bytes:
    """Change metadata, shapes, dtypes or numbers of tensors, or any bytes."""
    (length,) = struct.unpack_from("<Q", data)
    header, rest = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    notes = header.get("__metadata__", {})
    tensors = [name for name in header if name != "__metadata__"]
    name = tensors[int(rng.integers(len(tensors)))]
    match rng.integers(8):
        case 0 | 1 | 2 if notes:
            key = list(notes)[int(rng.integers(len(notes)))]
            try:
                notes[key] = damage_json(rng, json.loads(notes[key]))
            except ValueError:
                notes[key] = str(rng.choice(NUMBERS))
        case 3:
            header[name] = damage_value(rng, header[name])
        case 4:
            dtypes = (
                "F64",
                "F32",
                "F16",
                "BF16",
                "I64",
                "I32",
                "U8",
                "BOOL",
                "F8_E4M3",
                "U64",
                "C64",
            )
            header[name]["dtype"] = str(rng.choice(dtypes))
        case 5:
            begin, end = header[name]["data_offsets"]
            if end > begin:
                place = int(rng.integers(begin, end))
                rest[place : place + 8] = rng.choice([b"\xff", b"\x7f", b"\x00"]) * min(
                    8, end - place
                )
        case 6:
            header = damage_value(rng, header)
        case _:
            if len(rest) < 10**6:
                return damage_bytes(rng, data)
            return data[: int(rng.integers(len(data)))]
    made = json.dumps(header).encode()
    return struct.pack("<Q", len(made)) + made + bytes(rest)


def damage_image(rng: Rng, data: bytes) -> bytes:
    """Change the declared size of an image, or any bytes."""
    if rng.random() < 0.5:
        return damage_bytes(rng, data)
    out = bytearray(data)
    wide = rng.choice([0, 1, 255, 5000, 20000, 65535, 2**24, 2**31 - 1, 2**31, 2**32 - 1], 2)
    if data.startswith(b"\x89PNG"):
        out[16:24] = struct.pack(">II", *(int(n) for n in wide))
        out[29:33] = struct.pack(">I", _crc(bytes(out[12:29])))
    elif data.startswith(b"BM"):
        out[18:26] = struct.pack("<II", *(int(n) for n in wide))
    elif data.startswith(b"RIFF"):
        place = 21 if data[12:16] == b"VP8L" else 26
        out[place : place + 4] = struct.pack("<HH", *(int(n) & 0xFFFF for n in wide))
    else:
        place = data.find(b"\xff\xc0") + 5
        out[place : place + 4] = struct.pack(">HH", *(int(n) & 0xFFFF for n in wide))
    return bytes(out)


def _crc(data: bytes) -> int:
    import zlib

    return zlib.crc32(data)


# Places


@functools.cache
def _root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="sslmot-fuzz-"))
    owner = os.getpid()
    # Not in a child that was forked.
    atexit.register(lambda: os.getpid() == owner and shutil.rmtree(root, ignore_errors=True))
    return root


@contextmanager
def _case_folder() -> Iterator[Path]:
    """Create a folder for one case."""
    with tempfile.TemporaryDirectory(dir=_root(), prefix="case-") as folder:
        yield Path(folder)


@contextmanager
def _refusals(*paths: Path, missing: bool = False) -> Iterator[None]:
    """Catch the documented errors: a ValueError with one of the paths.

    Args:
        paths: Files or folders that were damaged.
        missing: Whether a damaged file may name a file that does not exist.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", RuntimeWarning)
        try:
            yield
        except ValueError as error:
            if not any(str(path) in str(error) for path in paths):
                raise
        except FileNotFoundError:
            if not missing:
                raise


class _TrainedError(Exception):
    """An epoch was trained."""


@contextmanager
def _one_epoch() -> Iterator[None]:
    """End a training after its first epoch: a damaged number of epochs may be any number."""
    from sslmot.training.run import Run

    with patch.object(Run, "_save", side_effect=_TrainedError), suppress(_TrainedError):
        yield


def _linked(base: Path, folder: Path, damaged: str) -> Path:
    """Link the files of a folder, copy the damaged one, and return the path of the copy."""
    for path in base.rglob("*"):
        there = folder / path.relative_to(base)
        if path.is_dir():
            there.mkdir(parents=True, exist_ok=True)
        elif str(path.relative_to(base)) == damaged:
            there.write_bytes(path.read_bytes())
        else:
            there.symlink_to(path)
    return folder / damaged


def _damaged(rng: Rng, path: Path, data: bytes) -> None:
    """Write a damaged file, or sometimes a pipe, a folder or a link to a device instead."""
    match rng.integers(60):
        case 0:
            path.unlink(missing_ok=True)
            os.mkfifo(path)
        case 1:
            path.unlink(missing_ok=True)
            path.mkdir()
        case 2:
            path.unlink(missing_ok=True)
            path.symlink_to("/dev/zero")
        case _:
            path.unlink(missing_ok=True)
            path.write_bytes(data)


def _any_file(rng: Rng, name: str, data: bytes) -> bytes:
    """Damage a file in a way that fits its kind."""
    suffix = Path(name).suffix
    if suffix == ".npy":
        return damage_npy(rng, data)
    if suffix == ".safetensors":
        return damage_safetensors(rng, data)
    if suffix == ".json":
        return damage_json(rng, json.loads(data)).encode("utf-8", "surrogatepass")
    if suffix in (".jpg", ".png", ".bmp", ".webp"):
        return damage_image(rng, data)
    if suffix in (".txt", ".ini", ".yaml"):
        return damage_text(rng, data.decode())
    return damage_bytes(rng, data)


def _of_folder(rng: Rng, base: Path, folder: Path) -> Path:
    """Damage one file of a folder, and return its path."""
    names = sorted(str(p.relative_to(base)) for p in base.rglob("*") if p.is_file())
    names = [name for name in names if "tensorboard" not in name]
    name = names[int(rng.integers(len(names)))]
    path = _linked(base, folder, name)
    _damaged(rng, path, _any_file(rng, name, path.read_bytes()))
    return path


# Settings


def _settings(name: str) -> Callable[[Rng], None]:
    def target(rng: Rng) -> None:
        from sslmot import TrackerConfig
        from sslmot.pngan.config import PnganConfig
        from sslmot.training.config import TrainConfig

        kind = {"tracker": TrackerConfig, "train": TrainConfig, "pngan": PnganConfig}[name]
        with _case_folder() as folder:
            path = folder / "config.yaml"
            kind().save(path)
            _damaged(rng, path, damage_text(rng, path.read_text()))
            with _refusals(path):
                kind.load(path, whole=bool(rng.integers(2)))

    return target


# Arrays and weights


@functools.cache
def _crops() -> Path:
    from sslmot.data.crops import CropSet

    rng, n = np.random.default_rng(0), 12
    folder = _root() / "crops"
    CropSet(
        images=rng.integers(0, 256, (n, 64, 32, 3), np.uint8),
        clips=np.repeat([0, 1], n // 2).astype(np.int32),
        frames=np.arange(n, dtype=np.int64),
        tracklets=np.repeat(np.arange(n // 2), 2).astype(np.int64),
        clip_names=("a", "b"),
        skipped=("c.jpg",),
    ).save(folder)
    return folder


def crop_set(rng: Rng) -> None:
    """Load a crop set."""
    from sslmot.data.crops import CropSet
    from sslmot.data.tracklets import in_view_together

    with _case_folder() as folder:
        _of_folder(rng, _crops(), folder)
        with _refusals(folder):
            crops = CropSet.load(folder)
            in_view_together(CropSet.concatenate([crops, CropSet.load(_crops())]))


@functools.cache
def _gallery() -> bytes:
    from sslmot.tracking.gallery import Gallery

    gallery = Gallery(capacity=5, samples=3, encoder="an encoder")
    rng = np.random.default_rng(0)
    gallery.add([1, 2, 3, 2, 2, 9], rng.normal(size=(6, 8)).astype(np.float32))
    path = _root() / "gallery.npz"
    gallery.save(path)
    return path.read_bytes()


def gallery(rng: Rng) -> None:
    """Load a gallery, and use it in a tracker."""
    from sslmot.tracking.gallery import Gallery

    def member(rng: Rng, name: str, data: bytes) -> bytes:
        if name != "settings.npy" or rng.random() < 0.3:
            return damage_npy(rng, data)
        settings = json.loads(str(np.load(io.BytesIO(data))))
        made = io.BytesIO()
        np.save(made, np.array(damage_json(rng, settings).replace("\0", "")))
        return made.getvalue()

    with _case_folder() as folder:
        path = folder / "gallery.npz"
        _damaged(rng, path, damage_zip(rng, _gallery(), member))
        with _refusals(path):
            found = Gallery.load(path)
            dim = 8 if not len(found) else found._samples.shape[2]
            features = rng.normal(size=(2, dim)).astype(np.float32)
            found.identify(features)
            found.add([4, 5], features)
            found.identify(features)


@functools.cache
def _weights(name: str) -> bytes:
    """Make a valid file. Hollow files have the same names, and tensors of one number."""
    from safetensors import safe_open
    from safetensors.torch import save

    from sslmot.appearance.encoder import Encoder, EncoderConfig
    from sslmot.pngan.config import PnganConfig
    from sslmot.pngan.generator import PoseGenerator

    path = _root() / f"{name}.safetensors"
    if name.startswith("encoder"):
        encoder = Encoder(EncoderConfig("resnet18", (64, 32), projection=(16, 16)), device="cpu")
        encoder.save(path, {"sslmot.training": "{}"}, half=True)
    else:
        PoseGenerator(PnganConfig(width=2, blocks=1, crop_size=(32, 16)), device="cpu").save(path)
    if "hollow" in name:
        with safe_open(path, framework="pt") as file:
            tensors = {k: file.get_tensor(k).flatten()[:1].clone() for k in file.keys()}  # noqa: SIM118
            path.write_bytes(save(tensors, file.metadata()))
    return path.read_bytes()


def encoder(rng: Rng) -> None:
    """Load an encoder. Most cases declare sizes in the metadata without such tensors."""
    from sslmot.appearance.encoder import Encoder

    with _case_folder() as folder:
        path = folder / "encoder.safetensors"
        name = "encoder" if rng.random() < 0.05 else "encoder hollow"
        _damaged(rng, path, damage_safetensors(rng, _weights(name)))
        with _refusals(path):
            Encoder.load(path, "cpu")


def generator(rng: Rng) -> None:
    """Load a generator of PN-GAN."""
    from sslmot.pngan.generator import PoseGenerator

    with _case_folder() as folder:
        path = folder / "generator.safetensors"
        _damaged(rng, path, damage_safetensors(rng, _weights("generator")))
        with _refusals(path):
            PoseGenerator.load(path, "cpu")


def _command(arguments: list[str], *paths: Path) -> None:
    """Run a command. If it exits with 2, its error must contain the path of the file."""
    from sslmot.cli import main

    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            main(arguments)
        except SystemExit as error:
            if error.code != 2 or not any(str(path) in said.getvalue() for path in paths):
                raise RuntimeError(f"exit {error.code}: {said.getvalue()}") from error


def export(rng: Rng) -> None:
    """Run the command to export an encoder."""
    with _case_folder() as folder:
        path = folder / "encoder.safetensors"
        data = damage_safetensors(rng, _weights("encoder hollow"))
        _damaged(rng, path, data)
        output = str(folder / "encoder.onnx")
        _command(["export", str(path), "--output", output], path)


def canonical_poses(rng: Rng) -> None:
    """Load canonical poses."""
    from sslmot.pose.canonical import CanonicalPoses

    with _case_folder() as folder:
        path = folder / "canonical.safetensors"
        joints = np.random.default_rng(0).random((8, 18, 3), np.float32)
        CanonicalPoses(joints, 0.5).save(path)
        _damaged(rng, path, damage_safetensors(rng, path.read_bytes()))
        with _refusals(path):
            found = CanonicalPoses.load(path)
            if len(found):
                found.nearest(joints, 1)


class _Estimator:
    fingerprint = "0123456789abcdef"

    def __call__(self, crops: Any) -> Any:
        return np.full((len(crops), 18, 3), 0.5, np.float32)


@functools.cache
def _joints() -> Path:
    from sslmot.data.crops import CropSet
    from sslmot.pose.estimator import estimate

    folder = _root() / "joints"
    estimate(CropSet.load(_crops()), _Estimator(), folder)
    return folder


def joints(rng: Rng) -> None:
    """Load cached joints."""
    from sslmot.data.crops import CropSet
    from sslmot.pose.estimator import estimate

    with _case_folder() as folder:
        _of_folder(rng, _joints(), folder)
        with _refusals(folder):
            estimate(CropSet.load(_crops()), _Estimator(), folder)


@functools.cache
def _poses() -> Path:
    from sslmot.data.crops import CropSet, digests

    crops = CropSet.load(_crops())
    folder, n = _root() / "poses", len(crops)
    folder.mkdir()
    known = digests(crops.images).view(np.uint8).reshape(n, 16)
    images = np.zeros((n, 4, *crops.size, 3), np.uint8)
    for name, array in (("images", images), ("digests", known), ("full_body", known[:, 0] > 9)):
        np.save(folder / f"{name}.npy", array)
    about = {"generator": "g", "crops": "c", "joints": "j", "size": list(crops.size), "seed": 0}
    (folder / "about.json").write_text(json.dumps(about))
    (folder / "done.json").write_text(json.dumps({"done": n}))
    return folder


def poses(rng: Rng) -> None:
    """Load crops in other poses, and their index."""
    from sslmot.data.crops import CropSet
    from sslmot.training.pose_views import PoseViews

    with _case_folder() as folder:
        path = _of_folder(rng, _poses(), folder)
        with _refusals(folder, missing=path.name == "about.json"):
            views = PoseViews(folder, CropSet.load(_crops()))
            views.draw(np.arange(3), rng)


@functools.cache
def _run() -> Path:
    from sslmot.data.crops import CropSet
    from sslmot.training.config import TrainConfig
    from sslmot.training.trainer import train

    folder = _root() / "run"
    config = TrainConfig(crop_size=(64, 32), parts=1, batch_size=4, epochs=1, sampler="pairs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(CropSet.load(_crops()), config, folder, device="cpu")
    shutil.rmtree(folder / "tensorboard")
    (folder / "encoder.safetensors").unlink()
    return folder


def resume(rng: Rng) -> None:
    """Continue a training run, which is already finished."""
    from sslmot.training.trainer import resume

    with _case_folder() as folder:
        path = _of_folder(rng, _run(), folder)
        with _refusals(folder, missing=path.name == "config.yaml"), _one_epoch():
            resume(folder, device="cpu")


@functools.cache
def _pngan_run() -> Path:
    from sslmot.data.crops import CropSet
    from sslmot.pngan.config import PnganConfig
    from sslmot.pngan.pairs import Pairs
    from sslmot.pngan.trainer import train_pngan

    folder, crops = _root() / "pngan run", CropSet.load(_crops())
    rows = np.arange(len(crops))
    joints = np.random.default_rng(0).random((len(crops), 18, 3), np.float32)
    pairs = Pairs(rows, rows[::-1].copy(), np.zeros(len(rows), np.bool_))
    config = PnganConfig(width=2, blocks=1, crop_size=crops.size, batch_size=6, epochs=1)
    train_pngan(crops, joints, pairs, config, folder, device="cpu")
    shutil.rmtree(folder / "tensorboard")
    shutil.rmtree(folder / "samples")
    (folder / "generator.safetensors").unlink()
    return folder


def resume_pngan(rng: Rng) -> None:
    """Continue a training run of PN-GAN, which is already finished."""
    from sslmot.pngan.trainer import resume_pngan

    with _case_folder() as folder:
        path = _of_folder(rng, _pngan_run(), folder)
        with _refusals(folder, missing=path.name == "config.yaml"), _one_epoch():
            resume_pngan(folder, device="cpu")


# MOTChallenge


@functools.cache
def _sequence() -> Path:
    from sslmot.data.mot import FrameResult, GroundTruth, write_results, write_sequence

    rng, n = np.random.default_rng(0), 6
    root = _root() / "mot"
    detections, boxes = {}, []
    for t in range(1, n + 1):
        corner = np.array([[5, 4], [30, 8]]) + t
        box = np.hstack([corner, corner + np.array([12, 30])]).astype(np.float32)
        boxes.append(box)
        detections[t] = np.hstack([box, rng.random((2, 1))]).astype(np.float32)
    truth = GroundTruth(
        frames=np.repeat(np.arange(1, n + 1), 2),
        ids=np.tile([1, 2], n),
        boxes=np.concatenate(boxes),
        considered=np.ones(2 * n, np.bool_),
        classes=np.ones(2 * n, np.int64),
        visibility=np.ones(2 * n, np.float32),
    )
    sequence = write_sequence(root, "clip", 30, (64, 48), detections, truth)
    sequence.image_dir.mkdir()
    for t in range(1, n + 1):
        image = rng.integers(0, 256, (48, 64, 3), np.uint8)
        cv2.imwrite(str(sequence.image_dir / f"{t:06d}.jpg"), image)
    results = [
        FrameResult(t, np.array([1, 2]), box, np.ones(2, np.float32))
        for t, box in enumerate(boxes, 1)
    ]
    write_results(root / "results" / "clip.txt", results)
    (root / "results" / "clip.json").write_text(json.dumps({"frames": n, "seconds": 0.5}))
    return root


def _mot_file(name: str, read: Callable[[Path], None]) -> Callable[[Rng], None]:
    """Return a target that damages one file of a sequence, or of its results."""

    def target(rng: Rng) -> None:
        with _case_folder() as folder:
            path = _linked(_sequence(), folder, name)
            _damaged(rng, path, _any_file(rng, name, path.read_bytes()))
            missing = not path.is_file() or path.name == "seqinfo.ini"
            with _refusals(folder, missing=missing):
                read(folder)

    return target


def _read_sequence(root: Path) -> None:
    from sslmot.data.mot import sequences
    from sslmot.data.video import read_sequence_crops

    (sequence,) = sequences(root)
    read_sequence_crops(sequence, (16, 8))
    sequence.ground_truth()


def _read_detections(root: Path) -> None:
    from sslmot.data.mot import Sequence, read_detections

    read_detections(root / "clip" / "det" / "det.txt")
    found = Sequence.open(root / "clip").detections()
    assert all(found[t].shape[1] in (5, 6) for t in found)


def _read_video_detections(root: Path) -> None:
    from sslmot.data.video import read_video_detections

    found = read_video_detections(root / "clip" / "det" / "det.txt")
    assert len(found[len(found)])


def coco(rng: Rng) -> None:
    """Read detections in COCO's JSON: a list, or with images."""
    from sslmot.data.coco import read_coco_detections

    rows = [
        {"image_id": t, "category_id": t % 3, "bbox": [5 * t, 2, 30.5, 60], "score": 0.5}
        for t in range(1, 5)
    ]
    images = [{"id": t, "frame_id": t - 1} for t in range(1, 5)]
    content = rows if rng.integers(2) else {"images": images, "annotations": rows}
    with _case_folder() as folder:
        path = folder / "found.json"
        _damaged(rng, path, damage_json(rng, content).encode("utf-8", "surrogatepass"))
        with _refusals(path, missing=not path.is_file()):
            for found in read_coco_detections(path).values():
                assert found.shape[1:] == (6,)
                assert np.isfinite(found).all()


def _read_truth(root: Path) -> None:
    from sslmot.data.labelled import read_labelled

    read_labelled(root / "clip", (16, 8))


def _read_results(root: Path) -> None:
    from sslmot.data.mot import read_results

    read_results(root / "results" / "clip.txt")


def evaluation(rng: Rng) -> None:
    """Score tracking results from disk."""
    from sslmot.evaluation.tracks import evaluate

    names = ("clip/seqinfo.ini", "clip/gt/gt.txt", "results/clip.txt", "results/clip.json")

    def read(root: Path) -> None:
        evaluate(root, root / "results")

    _mot_file(names[int(rng.integers(len(names)))], read)(rng)


def track(rng: Rng) -> None:
    """Run the command to track a sequence, by motion only or with colour histograms."""
    names = ("clip/seqinfo.ini", "clip/det/det.txt", "clip/img1/000003.jpg")
    name = names[int(rng.integers(len(names)))]
    with _case_folder() as folder:
        path = _linked(_sequence(), folder, name)
        data = _any_file(rng, name, path.read_bytes())
        if name == "clip/seqinfo.ini" and re.search(rb"seqLength=\d{4}", data):
            return  # it would track that many frames, and may
        _damaged(rng, path, data)
        how = ["--motion-only"] if rng.integers(2) else ["--histogram"]
        _command(["track", str(folder / "clip"), "--output", str(folder / "out"), *how], folder)


# Images and videos


@functools.cache
def _image(suffix: str) -> bytes:
    image = np.random.default_rng(0).integers(0, 256, (48, 24, 3), np.uint8)
    image[:, :12] //= 4
    return bytes(cv2.imencode(suffix, image)[1])


def _suffix(rng: Rng) -> str:
    return str(rng.choice([".jpg", ".png", ".bmp", ".webp"]))


def image(rng: Rng) -> None:
    """Read an image."""
    from sslmot.data.image_files import read_image

    suffix = _suffix(rng)
    with _case_folder() as folder:
        path = folder / f"image{suffix}"
        _damaged(rng, path, damage_image(rng, _image(suffix)))
        with _refusals(path):
            read_image(path)


def image_folder(rng: Rng) -> None:
    """Read a folder of images with a damaged image."""
    from sslmot.data.sources import read_sources

    with _case_folder() as folder:
        for suffix in (".jpg", ".png"):
            (folder / f"good{suffix}").write_bytes(_image(suffix))
        suffix = _suffix(rng)
        _damaged(rng, folder / f"bad{suffix}", damage_image(rng, _image(suffix)))
        with _refusals(folder):
            assert len(read_sources([folder], (64, 32))) >= 2


def market1501(rng: Rng) -> None:
    """Read Market-1501 with a damaged image and invalid names."""
    from sslmot.data.market1501 import read_market1501
    from sslmot.data.sources import read_sources

    with _case_folder() as folder:
        for person in range(1, 8):
            (folder / f"{person:04d}_c1s1_{person:06d}_01.jpg").write_bytes(_image(".jpg"))
        (folder / "0007_c2s1_000451_03.jpg").write_bytes(b"")
        _damaged(rng, folder / "0007_c2s1_000451_03.jpg", damage_image(rng, _image(".jpg")))
        for _ in range(3):
            name = damage_bytes(rng, b"0002_c1s1_000451_03.jpg").replace(b"/", b"").strip(b".\0")
            name = name.replace(b"\0", b"")[:255]
            if name and not Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).exists():
                with open(os.fsencode(folder) + b"/" + name, "wb") as file:  # noqa: PTH123
                    file.write(_image(".jpg"))
        with _refusals(folder):
            read_sources([folder], (64, 32))
            read_market1501(folder, (64, 32), "all")


@functools.cache
def _video() -> bytes:
    path = _root() / "video.avi"
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), fourcc, 25, (64, 48))
    for t in range(1, 7):
        writer.write(np.full((48, 64, 3), 30 * t, np.uint8))
    writer.release()
    return path.read_bytes()


def video(rng: Rng) -> None:
    """Read a video and its detections."""
    from sslmot.data.video import read_video_crops

    with _case_folder() as folder:
        path, det = folder / "video.avi", folder / "det.txt"
        path.write_bytes(_video())
        det.write_bytes((_sequence() / "clip" / "det" / "det.txt").read_bytes())
        if rng.integers(2):
            _damaged(rng, path, damage_bytes(rng, _video()))
        else:
            _damaged(rng, det, damage_text(rng, det.read_text()))
        with _refusals(path, det, missing=not (path.is_file() and det.is_file())):
            read_video_crops(path, det, (16, 8))


# Pose models


@functools.cache
def _onnx() -> bytes:
    from onnx import TensorProto, helper

    floats = TensorProto.FLOAT
    weights = np.random.default_rng(0).random((3, 51), np.float32)
    model = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
                helper.make_node("Flatten", ["mean"], ["flat"]),
                helper.make_node("MatMul", ["flat", "weights"], ["found"]),
                helper.make_node("Reshape", ["found", "shape"], ["joints"]),
            ],
            "pose",
            [helper.make_tensor_value_info("image", floats, [1, 3, 64, 48])],
            [helper.make_tensor_value_info("joints", floats, [1, 17, 3])],
            [
                helper.make_tensor("weights", floats, weights.shape, weights.ravel()),
                helper.make_tensor("shape", TensorProto.INT64, [3], [1, 17, 3]),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
    )
    model.ir_version = 8
    data: bytes = model.SerializeToString()
    return data


def _damage_onnx(rng: Rng, data: bytes) -> bytes:
    import onnx

    if rng.random() < 0.4:
        return damage_bytes(rng, data)
    model = onnx.load_model_from_string(data)
    number = int(rng.choice([0, 1, 2, 3, 4, 17, 18, 63, 5000, 10**5, 2**31 - 1, 2**40, -1]))
    match rng.integers(5):
        case 0 | 1:
            given = [model.graph.input, model.graph.output][int(rng.integers(2))][0]
            sides = given.type.tensor_type.shape.dim
            sides[int(rng.integers(len(sides)))].dim_value = number
        case 2:
            weights = model.graph.initializer[int(rng.integers(2))]
            weights.dims[int(rng.integers(len(weights.dims)))] = max(number, 0)
        case 3:
            node = model.graph.node[int(rng.integers(4))]
            node.op_type = str(rng.choice(["Relu", "Flatten", "Softmax", "Nothing", "Shape"]))
        case 4:
            del model.graph.node[int(rng.integers(4))]
    made: bytes = model.SerializeToString()
    return made


def onnx_model(rng: Rng) -> None:
    """Load a pose model as ONNX."""
    from sslmot.pose.model import load_pose_model

    with _case_folder() as folder:
        path = folder / "pose.onnx"
        _damaged(rng, path, _damage_onnx(rng, _onnx()))
        with _refusals(path, missing=not path.is_file()):
            load_pose_model(path)


def tflite_model(rng: Rng) -> None:
    """Load a file that begins like BlazePose and is not."""
    from sslmot.pose.model import load_pose_model

    with _case_folder() as folder:
        path = folder / "pose.tflite"
        begin = b"\x1c\x00\x00\x00TFL3\x14\x00\x20\x00" if rng.integers(2) else b""
        _damaged(rng, path, begin + rng.bytes(int(rng.integers(2000))))
        with _refusals(path, missing=not path.is_file()):
            load_pose_model(path)


@functools.cache
def _wheel() -> bytes:
    from sslmot.pose.download import MEMBER

    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(MEMBER, bytes(10**5))
        archive.writestr("mediapipe/__init__.py", "")
    return made.getvalue()


def wheel(rng: Rng) -> None:
    """Load a file that is not a wheel of MediaPipe."""
    from sslmot.pose.download import MEMBER, take_model

    def member(rng: Rng, _: str, data: bytes) -> bytes:
        return damage_bytes(rng, data)

    with _case_folder() as folder:
        path = folder / "mediapipe.whl"
        _damaged(rng, path, damage_zip(rng, _wheel(), member))
        with _refusals(path, Path(MEMBER)):
            take_model(path)


TARGETS: dict[str, Callable[[Rng], None]] = {
    "tracker settings": _settings("tracker"),
    "train settings": _settings("train"),
    "pngan settings": _settings("pngan"),
    "encoder": encoder,
    "export": export,
    "generator": generator,
    "gallery": gallery,
    "crop set": crop_set,
    "canonical poses": canonical_poses,
    "joints": joints,
    "poses": poses,
    "resume": resume,
    "resume pngan": resume_pngan,
    "seqinfo": _mot_file("clip/seqinfo.ini", _read_sequence),
    "frame": _mot_file("clip/img1/000003.jpg", _read_sequence),
    "detections": _mot_file("clip/det/det.txt", _read_detections),
    "video detections": _mot_file("clip/det/det.txt", _read_video_detections),
    "coco detections": coco,
    "ground truth": _mot_file("clip/gt/gt.txt", _read_truth),
    "results": _mot_file("results/clip.txt", _read_results),
    "evaluation": evaluation,
    "track": track,
    "image": image,
    "image folder": image_folder,
    "market1501": market1501,
    "video": video,
    "onnx model": onnx_model,
    "tflite model": tflite_model,
    "wheel": wheel,
}

PREPARE: dict[str, Callable[[], object]] = {
    "encoder": lambda: [_weights(name) for name in ("encoder", "encoder hollow")],
    "export": lambda: _weights("encoder hollow"),
    "generator": lambda: _weights("generator"),
    "resume": _run,
    "resume pngan": _pngan_run,
}
"""Preparations that import torch and train, so that they do not count for a case."""
