"""Multi-object tracking whose appearance model learns from your own unlabelled footage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sslmot.association import assign
from sslmot.config import TrackerConfig
from sslmot.gallery import Gallery
from sslmot.group import TrackerGroup
from sslmot.histogram import ColorHistogram
from sslmot.tracker import Tracker
from sslmot.tracks import Tracks
from sslmot.types import FeatureExtractor

if TYPE_CHECKING:
    from sslmot.encoder import Encoder

__version__ = "0.1.0"
__all__ = [
    "ColorHistogram",
    "Encoder",
    "FeatureExtractor",
    "Gallery",
    "Tracker",
    "TrackerConfig",
    "TrackerGroup",
    "Tracks",
    "assign",
]


def __getattr__(name: str) -> Any:
    # Only the encoder needs torch: it is imported on first use.
    if name == "Encoder":
        from sslmot.encoder import Encoder

        return Encoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
