"""An encoder as ONNX or TorchScript, for programs without this package."""

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
"""What an encoder can be written as."""

NOTES = "sslmot.json"
"""The extra file of a TorchScript that holds the notes, as a JSON object of strings."""


def export(encoder: Encoder, path: str | Path, format: Format = "onnx") -> None:
    """Write the network of an encoder, whole or not at all.

    It takes ``crops``, (N, 3, height, width) float32 as `crops.crop` makes them, for
    any N from 1 on, and gives ``features``, (N, D) float32 of unit length, zeros for a crop that is
    all 0. With it go :func:`notes`: the metadata of ONNX, an extra file of TorchScript.

    Args:
        encoder: Whose features they are.
        path: File to write or replace.
        format: "onnx", which takes the package ``onnx``, or "torchscript".

    Raises:
        ValueError: The format is another.
        ImportError: There is no ``onnx``.
    """
    if format not in get_args(Format):
        raise ValueError(f"format: expected {' or '.join(get_args(Format))}, got {format!r}")
    network = _UnitFeatures(encoder).eval()
    crops = torch.zeros((2, 3, *encoder.config.crop_size))
    with torch.no_grad(), warnings.catch_warnings():
        # torch's newer exporters make no TorchScript, and ONNX with packages of their own alone.
        warnings.simplefilter("ignore", DeprecationWarning)
        to_bytes = _to_onnx if format == "onnx" else _to_torchscript
        data = to_bytes(network, crops, notes(encoder))
    files.write(path, data)


def notes(encoder: Encoder) -> dict[str, str]:
    """How an encoder's crops are made, and which encoder it is; lists as JSON."""
    c = encoder.config
    return {
        "size": json.dumps(c.crop_size),  # height and width, pixels
        "channels": "RGB",
        "values": "(byte / 255 - mean) / std",
        "mean": json.dumps(c.mean),
        "std": json.dumps(c.std),
        "resize": "bilinear with antialias",
        "middle": json.dumps(c.middle),  # share of a box's width that is cut
        "padding": "0",  # what lies out of the frame
        "calibration": json.dumps(encoder.calibration),
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
        raise ImportError(f"ONNX needs more: pip install sslmot[export] ({error})") from error

    made: Any = io.BytesIO()
    torch.onnx.export(
        network,
        (crops,),
        made,
        dynamo=False,
        do_constant_folding=False,  # with it torch 2.13 loses tensors that are equal
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
