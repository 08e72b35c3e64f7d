"""The learned appearance model: crops of a frame -> features (SSL-MOT, section 3)."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from sslmot import _core
from sslmot.appearance.calibration import fields_from_json
from sslmot.appearance.crops import IMAGENET_MEAN, IMAGENET_STD, crop
from sslmot.inputs import check_frame, describe, is_cuda
from sslmot.settings import Settings, setting
from sslmot.types import ArrayLike

try:
    import torch

    from sslmot import tensors as tensor_files
except ImportError as error:
    raise ImportError(
        "encoders need torch and safetensors: pip install sslmot[encoder] "
        "(sslmot.ColorHistogram, an extractor without weights, needs neither)"
    ) from error

from torch import Tensor, nn

from sslmot.appearance.cuda_graphs import GraphedNetwork
from sslmot.appearance.inference import InferenceNetwork
from sslmot.appearance.network import resnet
from sslmot.appearance.uploads import Uploads

SHIPPED = Path(__file__).with_name("weights") / "market1501-resnet18.safetensors"
"""The encoder that comes with the package; its card is ``sslmot/appearance/weights/README.md``."""

_CONFIG_KEY = "sslmot.encoder"  # in the metadata of a file: its EncoderConfig as JSON
_MOST_LAYERS = 16  # of a projection
_CALIBRATION_KEY = "sslmot.calibration"  # there may be: thresholds that fit it, as JSON


Architecture: TypeAlias = Literal["resnet18", "resnet50", "resnet101"]
Parts: TypeAlias = Literal[1, 2, 4, 8]
Feature: TypeAlias = Literal["projection", "backbone"]
"""What describes a box: z = f(x), as the paper has it, or what enters the projection."""


@dataclass(frozen=True)
class EncoderConfig(Settings):
    """What an encoder is made of; stored in its file.

    Attributes:
        architecture: Backbone: "resnet18", "resnet50" (the paper's) or "resnet101".
        crop_size: Height and width of a crop, pixels; the paper's, 256x128 is its alternative.
        mean: Of red, green and blue, in 0..1: crops are normalised by it.
        std: Likewise.
        projection: Widths of the layers of the projection MLP, whose last normalisation is all that
            is left with (); None for a backbone alone.
        feature: What describes a box: "projection" (z) or "backbone" (what enters the projection).
        parts: Horizontal stripes of the backbone's feature, see `ResNet`; 1
            for the average of its last map.
        middle: Share of a box's width that is looked at, in its middle: the sides show background
            and neighbours.
        ibn: Whether the backbone's blocks normalise half of their channels by the crop itself.

    Raises:
        ValueError: A field is out of range, or the feature wants a projection and there is none.
    """

    architecture: Architecture = "resnet50"
    crop_size: tuple[int, int] = setting((128, 64), 1, 4096)
    mean: tuple[float, float, float] = setting(IMAGENET_MEAN, 0, 1)
    std: tuple[float, float, float] = setting(IMAGENET_STD, 1e-3, 10)
    projection: tuple[int, ...] | None = setting((2048, 2048, 2048), 1, 16384)
    feature: Feature = "projection"
    parts: Parts = 1
    middle: float = setting(1.0, 0.1, 1)
    ibn: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.projection is not None and len(self.projection) > _MOST_LAYERS:
            raise ValueError(
                f"projection: expected at most {_MOST_LAYERS} layers, got {len(self.projection)}"
            )
        if self.projection is None and self.feature == "projection":
            raise ValueError("feature: expected backbone with projection None, got 'projection'")


class EncoderNetwork(nn.Module):
    """The trainable part: (N, 3, h, w) normalised crops -> z.

    Attributes:
        backbone: (N, 3, h, w) -> (N, ``backbone.dim``).
        projection: Linear layers with batch normalisation, ReLU between them, no affine part in
            the last normalisation, as in SimSiam; None where the config has none.
    """

    projection: nn.Sequential | None

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.backbone = resnet(config.architecture, config.parts, config.ibn)
        self.projection = None
        if config.projection is not None:
            # No biases: the normalisation that follows would take them away.
            width, layers = self.backbone.dim, []
            for i, out in enumerate(config.projection):
                layers += [nn.BatchNorm1d(width), nn.ReLU()] if i else []
                layers.append(nn.Linear(width, out, bias=False))
                width = out
            self.projection = nn.Sequential(*layers, nn.BatchNorm1d(width, affine=False))

    def forward(self, crops: Tensor) -> Tensor:
        """Describe crops by z; by the backbone's feature where there is no projection."""
        x: Tensor = self.backbone(crops)
        return x if self.projection is None else self.projection(x)


class Encoder:
    """Describes the boxes of a frame by a network.

    A :class:`~sslmot.FeatureExtractor`.

    Args:
        config: Make-up of the network.
        seed: Of the weights, which are random; torch's own generators are left as they are.
        device: Where to run, such as "cpu" or "cuda:1"; None for CUDA where there is one.
        batch_size: Most crops in a pass, which bounds the memory.
        bfloat16: Whether to run in bfloat16 (parameters and features stay float32); None for
            where the hardware computes in it.

    Attributes:
        config: As given.
        network: The trainable part; calling the encoder puts it in eval mode, and runs a copy with
            folded normalisations, made anew when a weight changes (but for what is written to its
            ``data``, which does not tell).
        metadata: What the file said beside config and calibration: str -> str.
        calibration: Fields of :class:`~sslmot.TrackerConfig` that fit its features, see
            `sslmot calibrate`; none where the file says none. (The file that comes with the
            package needs none: the config's defaults fit it.)

    Raises:
        ValueError: The batch size is below 1.
    """

    def __init__(
        self,
        config: EncoderConfig | None = None,
        seed: int = 0,
        *,
        device: str | torch.device | None = None,
        batch_size: int = 64,
        bfloat16: bool | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size: expected at least 1, got {batch_size}")
        self.config = config if config is not None else EncoderConfig()
        # Tensors made in inference mode could not be trained, and do not say when they change.
        with torch.inference_mode(False):
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)  # of the CPU alone
                network = EncoderNetwork(self.config)
            device = device or ("cuda" if torch.cuda.is_available() else "cpu")
            place: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}
            self.network = network.to(**place).eval()
        self.batch_size = batch_size
        self.bfloat16 = computes_in_bfloat16(self.device) if bfloat16 is None else bfloat16
        self.metadata: dict[str, str] = {}
        self.calibration: dict[str, float] = {}
        self._folded: _Folded | None = None

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        device: str | torch.device | None = None,
        *,
        feature: Feature | None = None,
        batch_size: int = 64,
        bfloat16: bool | None = None,
    ) -> Encoder:
        """Read an encoder from a file that :meth:`save` wrote; weights may be of half precision.

        Args:
            path: A safetensors file; None for the weights that come with the package (their card
                is ``sslmot/appearance/weights/README.md``).
            device: As for the class.
            feature: What is to describe a box; None for what the file says.
            batch_size: As for the class.
            bfloat16: As for the class.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no safetensors file, has no config or a wrong one, a wrong
                calibration, or its tensors are not those of the config, or not finite.
        """
        path = SHIPPED if path is None else path
        tensors, metadata = tensor_files.read(path)
        if _CONFIG_KEY not in metadata:
            raise ValueError(
                f"{path}: expected {_CONFIG_KEY!r} in the metadata, got {sorted(metadata)}"
            )
        try:
            stored = EncoderConfig.from_json(metadata.pop(_CONFIG_KEY))
            config = replace(stored, feature=feature or stored.feature)
            text = metadata.pop(_CALIBRATION_KEY, None)
            calibration = {} if text is None else fields_from_json(text)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        # A config can ask for any size: before there is such a network, do the tensors have it?
        tensor_files.expect(path, tensors, lambda: EncoderNetwork(config))
        encoder = cls(config, device=device, batch_size=batch_size, bfloat16=bfloat16)
        encoder.metadata = metadata
        # Thresholds of one feature are not those of the other.
        encoder.calibration = calibration if config.feature == stored.feature else {}
        encoder.network.load_state_dict(tensors)
        return encoder

    def save(
        self, path: str | Path, metadata: Mapping[str, str] | None = None, *, half: bool = False
    ) -> None:
        """Write config, calibration and weights as a safetensors file, whole or not at all.

        Args:
            path: File to write or replace.
            metadata: To go with them, added to :attr:`metadata`.
            half: Write float16, half the size.
        """
        dtype = torch.float16 if half else torch.float32
        tensors = {
            k: v.to(dtype) if v.is_floating_point() else v
            for k, v in self.network.state_dict().items()
        }
        notes = {**self.metadata, **(metadata or {}), _CONFIG_KEY: self.config.to_json()}
        if self.calibration:
            notes[_CALIBRATION_KEY] = json.dumps(self.calibration)
        tensor_files.write(path, tensors, notes)

    @cached_property
    def fingerprint(self) -> str:
        """Which encoder this is: a hash of config and weights, as they are when first asked for.

        Features of two encoders do not compare, so a :class:`~sslmot.Gallery` keeps it.
        """
        digest = hashlib.sha256(self.config.to_json().encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.backbone.conv1.weight.device

    @property
    def dim(self) -> int:
        """Width of a feature."""
        if self.config.feature == "projection" and self.config.projection is not None:
            return (self.network.backbone.dim, *self.config.projection)[-1]
        return int(self.network.backbone.dim)

    def __call__(self, frame: ArrayLike, boxes: ArrayLike) -> Any:
        """Describe each box.

        Args:
            frame: (H, W, 3) uint8, BGR; NumPy, or a torch tensor, which is cropped where it is.
            boxes: (N, 4) numbers, xyxy pixels.

        Returns:
            (N, D) float32: NumPy where the network is on the CPU, else a torch tensor beside it.
            Zeros for a box without area or out of the frame.

        Raises:
            ValueError: As `crops.crop`.
        """
        return self.embed_frames([frame], [boxes])[0]

    def embed_frames(self, frames: Sequence[ArrayLike], boxes: Sequence[ArrayLike]) -> list[Any]:
        """Describe the boxes of several frames, such as those of several cameras, together.

        Args:
            frames: As for a call, of any sizes.
            boxes: Of each frame (N, 4).

        Returns:
            Of each frame what a call returns.

        Raises:
            ValueError: The numbers of frames and of boxes differ, or as `crops.crop`.
        """
        if len(frames) != len(boxes):
            raise ValueError(f"boxes: expected those of {len(frames)} frames, got {len(boxes)}")
        c = self.config
        if self._crops_on_cuda:
            frames = [self._upload(f) if len(b) else f for f, b in zip(frames, boxes, strict=True)]
        counts = [len(some) for some in boxes]
        ends = list(itertools.accumulate(counts))
        parts = [torch.zeros((0, self.dim), device=self.device)]
        for first in range(0, sum(counts), self.batch_size):
            crops = []
            for frame, some, end in zip(frames, boxes, ends, strict=True):
                begin = end - len(some)
                here = some[max(first - begin, 0) : max(first + self.batch_size - begin, 0)]
                if len(here):
                    cut = crop(frame, here, c.crop_size, c.mean, c.std, middle=c.middle)
                    crops.append(torch.as_tensor(cut, device=self.device))
            parts.append(self.describe(torch.cat(crops)))
        features = torch.split(torch.cat(parts), counts)
        return [z.numpy() if self.device.type == "cpu" else z for z in features]

    def send(self, frame: ArrayLike) -> None:
        """Start sending a frame to a network on CUDA; a call with the same array is to follow.

        From the thread that reads frames, while the one before is tracked. On the CPU, and with a
        frame that is on CUDA, there is nothing to send.

        Args:
            frame: (H, W, 3) uint8, BGR, left as it is until the call.

        Raises:
            ValueError: The frame is of another shape or dtype.
        """
        frame = check_frame(frame, None)
        if self._crops_on_cuda and not is_cuda(frame):
            self._uploads.send(frame)

    def _upload(self, frame: ArrayLike) -> Any:
        """A frame on the network's device, which cuts crops out faster than the host does."""
        frame = check_frame(frame, None)
        return frame if is_cuda(frame) else self._uploads.take(frame)

    @property
    def _crops_on_cuda(self) -> bool:
        return self.device.type == "cuda" and _core.cuda_device_count() > 0

    @cached_property
    def _uploads(self) -> Uploads:
        return Uploads(self.device)

    def describe(self, crops: Tensor) -> Tensor:
        """Describe crops that are cut and normalised, in one pass.

        Args:
            crops: (N, 3, height, width) float32 on :attr:`device`, as `crops.crop`
                makes them of the config's size.

        Returns:
            (N, D) float32 on :attr:`device`; zeros for a crop that is all 0.

        Raises:
            ValueError: The crops are of another shape.
        """
        if tuple(crops.shape[1:]) != (3, *self.config.crop_size):
            height, width = self.config.crop_size
            raise ValueError(f"crops: expected (N, 3, {height}, {width}), got {describe(crops)}")
        if self.network.training:
            self.network.eval()
        with torch.inference_mode(), torch.autocast(self.device.type, enabled=False):
            return self._inference()(crops)

    def folded(
        self, dtype: torch.dtype = torch.float32, *, for_cpu: bool = False
    ) -> InferenceNetwork:
        """The network as it is now, for inference alone.

        Args:
            dtype: As for :class:`~sslmot.appearance.inference.InferenceNetwork`.
            for_cpu: Likewise.
        """
        projected = self.config.feature == "projection"
        with torch.inference_mode(False):
            return InferenceNetwork(
                self.network.backbone,
                self.network.projection if projected else None,
                self.config.crop_size,
                dtype,
                for_cpu=for_cpu,
            )

    def _inference(self) -> Callable[[Tensor], Tensor]:
        """What describes crops, made anew where a weight has changed."""
        dtype = torch.bfloat16 if self.bfloat16 else torch.float32
        weights = [*self.network.parameters(), *self.network.buffers()]
        made_of = dtype, [(id(w), w.data_ptr(), w._version) for w in weights]
        if self._folded is None or self._folded.made_of != made_of:
            device = self.device
            network = self.folded(dtype, for_cpu=device.type == "cpu")
            run: Callable[[Tensor], Tensor] = network
            if device.type == "cuda":
                run = GraphedNetwork(network, (3, *self.config.crop_size), device, self.batch_size)
            self._folded = _Folded(weights, made_of, run)
        return self._folded.run


class _Folded(NamedTuple):
    """A network for inference, and which weights it was made of.

    Attributes:
        weights: Kept, so that no other tensor has their places.
        made_of: The type of the convolutions; of each weight who and where it is, and how often it
            was written to.
        run: The network.
    """

    weights: list[Tensor]
    made_of: tuple[torch.dtype, list[tuple[int, int, int]]]
    run: Callable[[Tensor], Tensor]


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether the hardware has bfloat16 arithmetic: emulated, it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return False
    has = torch.cpu.get_capabilities()
    return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
