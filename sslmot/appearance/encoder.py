"""The trained appearance model: crops of a frame -> features (SSL-MOT, section 3)."""

from __future__ import annotations

import hashlib
import itertools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from sslmot import _core
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

from sslmot.appearance.backbone import Backbone
from sslmot.appearance.cuda_graphs import GraphedNetwork
from sslmot.appearance.efficientnet import EfficientNetLite0
from sslmot.appearance.inference import InferenceNetwork
from sslmot.appearance.resnet import resnet
from sslmot.appearance.uploads import Uploads

SHIPPED = Path(__file__).with_name("weights") / "market1501-efficientnet_lite0.safetensors"
"""The encoder of the package. Model card: ``sslmot/appearance/weights/README.md``."""

_CONFIG_KEY = "sslmot.encoder"  # key in the metadata of a file: the EncoderConfig as JSON
_MOST_LAYERS = 16  # limit for the projection
# Without bfloat16: what ONEDNN_MAX_CPU_ISA can limit oneDNN to.
_NO_BFLOAT16 = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX512_CORE", "AVX512_CORE_VNNI")
_folding = threading.Lock()  # not of an encoder: that can be copied and pickled


Architecture: TypeAlias = Literal["resnet18", "resnet50", "resnet101", "efficientnet_lite0"]
Parts: TypeAlias = Literal[1, 2, 4, 8]
Feature: TypeAlias = Literal["projection", "backbone"]
"""Feature of a box: the output z of the projection, as in the paper, or of the backbone."""


@dataclass(frozen=True)
class EncoderConfig(Settings):
    """Structure of an encoder. It is stored in the encoder's file.

    Attributes:
        architecture: Backbone: "resnet18", "resnet50" (as in the paper), "resnet101", or the small
            "efficientnet_lite0".
        crop_size: Height and width of a crop, pixels. The default is the paper's; the paper also
            uses 256x128.
        mean: Mean of red, green and blue, in 0..1, to normalise crops.
        std: Standard deviation of red, green and blue, to normalise crops.
        projection: Widths of the layers of the projection MLP. With () only its last normalisation
            is left. None for no projection.
        feature: Feature of a box: "projection" (z) or "backbone" (the input of the projection).
        parts: Number of horizontal stripes in the backbone's feature, see `Backbone`. 1 for the
            average of the last map.
        middle: Share of the width of a box to use, around its centre. The sides of a box show
            background and neighbours.
        ibn: Whether the blocks of a ResNet use instance normalisation for half of their channels,
            see `IBN`.

    Raises:
        ValueError: A field is out of range, or the feature is "projection" without a projection.
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
        if self.ibn and not self.architecture.startswith("resnet"):
            raise ValueError(f"ibn: expected False with {self.architecture}, got True")


class EncoderNetwork(nn.Module):
    """The trainable network: (N, 3, h, w) normalised crops -> z.

    Attributes:
        backbone: (N, 3, h, w) -> (N, ``backbone.dim``).
        projection: Linear layers with batch normalisation and ReLU between them, as in SimSiam.
            The last normalisation has no affine part. None if the config has no projection.
        dim: Width of z.
    """

    projection: nn.Sequential | None

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.backbone: Backbone = (
            EfficientNetLite0(config.parts)
            if config.architecture == "efficientnet_lite0"
            else resnet(config.architecture, config.parts, config.ibn)
        )
        self.projection = None
        self.dim: int = self.backbone.dim
        if config.projection is not None:
            # No biases: the normalisation after each layer subtracts the mean.
            width, layers = self.backbone.dim, []
            for i, out in enumerate(config.projection):
                layers += [nn.BatchNorm1d(width), nn.ReLU()] if i else []
                layers.append(nn.Linear(width, out, bias=False))
                width = out
            self.projection = nn.Sequential(*layers, nn.BatchNorm1d(width, affine=False))
            self.dim = width

    def forward(self, crops: Tensor) -> Tensor:
        """Return z, or the output of the backbone if there is no projection."""
        x: Tensor = self.backbone(crops)
        return x if self.projection is None else self.projection(x)


class Encoder:
    """Embeds the boxes of a frame with a neural network.

    A :class:`~sslmot.FeatureExtractor`.

    Args:
        config: Structure of the network.
        seed: Seed of the random weights. The global generators of torch do not change.
        device: Device, such as "cpu" or "cuda:1". None for CUDA if available, else the CPU.
        batch_size: Maximum number of crops in a pass. It limits the memory.
        bfloat16: Whether to run in bfloat16. Parameters and features stay float32. None for
            bfloat16 if the hardware supports it.

    Attributes:
        config: As given.
        network: The trainable network. A call of the encoder puts it in eval mode and runs a copy
            with folded normalisations. The copy is made again when a weight changes. Writes to the
            ``data`` of a weight are not noticed.
        metadata: Metadata of the file, without config: str -> str.

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
        # Tensors created in inference mode cannot be trained and have no version counter.
        with torch.inference_mode(False):
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)  # only the generator of the CPU
                network = EncoderNetwork(self.config)
            device = device or ("cuda" if torch.cuda.is_available() else "cpu")
            place: dict[str, Any] = {"device": device, "memory_format": torch.channels_last}
            self.network = network.to(**place).eval()
        self.batch_size = batch_size
        self.bfloat16 = computes_in_bfloat16(self.device) if bfloat16 is None else bfloat16
        self.metadata: dict[str, str] = {}
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
        """Read an encoder from a file written by :meth:`save`. Weights may be float16.

        Args:
            path: A safetensors file. None for the weights of the package (model card:
                ``sslmot/appearance/weights/README.md``).
            device: As for the class.
            feature: Feature of a box. None for the feature in the file's config.
            batch_size: As for the class.
            bfloat16: As for the class.

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: The file is not a safetensors file, its config is missing or wrong, or
                its tensors do not fit the config or are not finite.
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
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        # A config can declare any size. Check the tensors before a network of that size is made.
        tensor_files.expect(path, tensors, lambda: EncoderNetwork(config))
        encoder = cls(config, device=device, batch_size=batch_size, bfloat16=bfloat16)
        encoder.metadata = metadata
        encoder.network.load_state_dict(tensors)
        return encoder

    def save(
        self, path: str | Path, metadata: Mapping[str, str] | None = None, *, half: bool = False
    ) -> None:
        """Write config and weights atomically as a safetensors file.

        Args:
            path: File to write or replace.
            metadata: Metadata to store in addition to :attr:`metadata`.
            half: Whether to write float16, which halves the size.
        """
        dtype = torch.float16 if half else torch.float32
        tensors = {
            k: v.to(dtype) if v.is_floating_point() else v
            for k, v in self.network.state_dict().items()
        }
        notes = {**self.metadata, **(metadata or {}), _CONFIG_KEY: self.config.to_json()}
        tensor_files.write(path, tensors, notes)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of config and weights, computed at the first access.

        A :class:`~sslmot.Gallery` stores it, since features of two encoders cannot be compared.
        """
        digest = hashlib.sha256(self.config.to_json().encode())
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy())
        return digest.hexdigest()

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return next(self.network.parameters()).device

    @property
    def thread_safe(self) -> bool:
        """Whether several threads may embed at once: on the CPU. On CUDA they share buffers."""
        return self.device.type == "cpu"

    @property
    def dim(self) -> int:
        """Width of a feature."""
        network = self.network
        return network.dim if self.config.feature == "projection" else network.backbone.dim

    def __call__(self, frame: ArrayLike, boxes: ArrayLike) -> Any:
        """Embed each box.

        Args:
            frame: (H, W, 3) uint8, BGR: NumPy, or a torch tensor, which is cropped on its device.
            boxes: (N, 4) numbers, xyxy pixels.

        Returns:
            (N, D) float32: NumPy if the network is on the CPU, else a torch tensor on its device.
            Zeros for a box without area or outside the frame.

        Raises:
            ValueError: As for `crops.crop`.
        """
        return self.embed_frames([frame], [boxes])[0]

    def embed_frames(self, frames: Sequence[ArrayLike], boxes: Sequence[ArrayLike]) -> list[Any]:
        """Embed the boxes of several frames together, for example of several cameras.

        Args:
            frames: Frames of any sizes, as for ``__call__``.
            boxes: (N, 4) for each frame.

        Returns:
            The features of each frame, as from ``__call__``.

        Raises:
            ValueError: The lists differ in length, or as for `crops.crop`.
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
            parts.append(self.embed_crops(torch.cat(crops)))
        features = torch.split(torch.cat(parts), counts)
        return [z.numpy() if self.device.type == "cpu" else z for z in features]

    def send(self, frame: ArrayLike) -> None:
        """Start to copy a frame to the GPU. A call with the same array must follow.

        The thread that reads frames can call this while the previous frame is tracked. It does
        nothing if the network is on the CPU or the frame is on CUDA already.

        Args:
            frame: (H, W, 3) uint8, BGR. It must not change before the call.

        Raises:
            ValueError: The frame has a wrong shape or dtype.
        """
        frame = check_frame(frame, None)
        if self._crops_on_cuda and not is_cuda(frame):
            self._uploads.send(frame)

    def _upload(self, frame: ArrayLike) -> Any:
        """Return a frame on the network's device, which cuts crops faster than the CPU."""
        frame = check_frame(frame, None)
        return frame if is_cuda(frame) else self._uploads.take(frame)

    @property
    def _crops_on_cuda(self) -> bool:
        return self.device.type == "cuda" and _core.cuda_device_count() > 0

    @cached_property
    def _uploads(self) -> Uploads:
        return Uploads(self.device)

    def embed_crops(self, crops: Tensor) -> Tensor:
        """Embed normalised crops in one pass.

        Args:
            crops: (N, 3, height, width) float32 on :attr:`device`, as made by `crops.crop` with the
                config's size.

        Returns:
            (N, D) float32 on :attr:`device`. Zeros for a crop of zeros.

        Raises:
            ValueError: The crops have a wrong shape.
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
        """Copy the network, as it is now, for inference.

        Args:
            dtype: As for :class:`~sslmot.appearance.inference.InferenceNetwork`.
            for_cpu: As for :class:`~sslmot.appearance.inference.InferenceNetwork`.
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
        """Return the network for inference. It is made again if a weight has changed."""
        dtype = torch.bfloat16 if self.bfloat16 else torch.float32
        weights = [*self.network.parameters(), *self.network.buffers()]
        made_of = dtype, [(id(w), w.data_ptr(), w._version) for w in weights]  # noqa: SLF001
        with _folding:  # one thread makes it, the others wait
            if self._folded is None or self._folded.made_of != made_of:
                device = self.device
                network = self.folded(dtype, for_cpu=device.type == "cpu")
                run: Callable[[Tensor], Tensor] = network
                if device.type == "cuda":
                    run = GraphedNetwork(
                        network, (3, *self.config.crop_size), device, self.batch_size
                    )
                self._folded = _Folded(weights, made_of, run)
            return self._folded.run


class _Folded(NamedTuple):
    """A network for inference, and the weights that it was made of.

    Attributes:
        weights: The weights. The references keep ids and addresses from being reused.
        made_of: Dtype of the convolutions; id, address and version of each weight.
        run: The network.
    """

    weights: list[Tensor]
    made_of: tuple[torch.dtype, list[tuple[int, int, int]]]
    run: Callable[[Tensor], Tensor]


def computes_in_bfloat16(device: torch.device) -> bool:
    """Return whether the hardware has bfloat16 arithmetic. Emulation is slower than float32.

    On a CPU, oneDNN must use it too, which ONEDNN_MAX_CPU_ISA can forbid.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type != "cpu" or not hasattr(torch.cpu, "get_capabilities"):  # an older torch
        return False
    has = torch.cpu.get_capabilities()
    hardware = any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    return hardware and os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() not in _NO_BFLOAT16
