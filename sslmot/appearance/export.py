"""Export an encoder as ONNX or TorchScript, for use without this package."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from sslmot import files
from sslmot.appearance.encoder import Encoder

Format: TypeAlias = Literal["onnx", "torchscript"]
"""Formats of an exported encoder."""

NOTES = "sslmot.json"
"""Name of the extra file in a TorchScript archive: the notes, as a JSON object of strings."""


def export(encoder: Encoder, path: str | Path, format: Format = "onnx") -> None:
    """Write the network of an encoder atomically.

    Its input ``crops`` is (N, 3, height, width) float32, N >= 1, as made by `crops.crop`. Its
    output ``features`` is (N, D) float32 of unit length, or zeros for a crop of zeros. The file
    contains the :func:`notes`: in the metadata of ONNX, or in an extra file of TorchScript.

    Args:
        encoder: The encoder.
        path: File to write or replace.
        format: "onnx", which needs the package ``onnx``, or "torchscript".

    Raises:
        ValueError: The format is unknown.
        ImportError: The package ``onnx`` is not installed.
    """
    if format not in get_args(Format):
        raise ValueError(f"format: expected {' or '.join(get_args(Format))}, got {format!r}")
    network = _UnitFeatures(encoder).eval()
    crops = torch.zeros((2, 3, *encoder.config.crop_size))
    with torch.no_grad(), warnings.catch_warnings():
        # The deprecated exporters are used on purpose. torch's new exporters do not write
        # TorchScript, and need additional packages for ONNX.
        warnings.simplefilter("ignore", DeprecationWarning)
        to_bytes = _to_onnx if format == "onnx" else _to_torchscript
        data = to_bytes(network, crops, notes(encoder))
    files.write(path, data)


def notes(encoder: Encoder) -> dict[str, str]:
    """Return how to make the encoder's crops, and its fingerprint. Lists are JSON."""
    c = encoder.config
    return {
        "size": json.dumps(c.crop_size),  # height and width, pixels
        "channels": "RGB",
        "values": "(byte / 255 - mean) / std",
        "mean": json.dumps(c.mean),
        "std": json.dumps(c.std),
        "resize": "bilinear with antialias",
        "middle": json.dumps(c.middle),  # share of the width of a box to cut out
        "padding": "0",  # value outside the frame
        "fingerprint": encoder.fingerprint,
    }


class _UnitFeatures(nn.Module):
    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.network = encoder.folded().cpu()

    def forward(self, crops: Tensor) -> Tensor:
        return nn.functional.normalize(self.network(crops), dim=1)


def _to_torchscript(network: nn.Module, crops: Tensor, about: dict[str, str]) -> bytes:
    made = io.BytesIO()
    traced = torch.jit.trace(network, crops)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, made, _extra_files={NOTES: json.dumps(about)})
    return made.getvalue()


def _to_onnx(network: nn.Module, crops: Tensor, about: dict[str, str]) -> bytes:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"ONNX export needs: pip install sslmot[export] ({error})") from error

    made: Any = io.BytesIO()
    torch.onnx.export(
        network,
        (crops,),
        made,
        dynamo=False,
        do_constant_folding=False,  # torch 2.13 would drop tensors that are equal
        input_names=["crops"],
        output_names=["features"],
        dynamic_axes={"crops": {0: "N"}, "features": {0: "N"}},
        opset_version=17,
    )
    model = onnx.load_model_from_string(made.getvalue())
    for key, value in about.items():
        model.metadata_props.add(key=key, value=value)
    data: bytes = model.SerializeToString()
    return data
