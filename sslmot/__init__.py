"""Track multiple objects, with an appearance model trained on your own unlabelled footage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sslmot.appearance.histogram import ColorHistogram
from sslmot.assignment import assign
from sslmot.tracking.config import TrackerConfig
from sslmot.tracking.gallery import Gallery
from sslmot.tracking.group import TrackerGroup
from sslmot.tracking.shared import SharedGallery
from sslmot.tracking.tracker import Tracker
from sslmot.tracking.tracks import LostTrack, LostTracks, Track, Tracks
from sslmot.types import FeatureExtractor

if TYPE_CHECKING:
    from sslmot.appearance.encoder import Encoder

__version__ = "0.1.0"
__all__ = [
    "ColorHistogram",
    "Encoder",
    "FeatureExtractor",
    "Gallery",
    "LostTrack",
    "LostTracks",
    "SharedGallery",
    "Track",
    "Tracker",
    "TrackerConfig",
    "TrackerGroup",
    "Tracks",
    "assign",
]


def __getattr__(name: str) -> Any:
    # Only the encoder needs torch, so it is imported on first use.
    if name == "Encoder":
        from sslmot.appearance.encoder import Encoder

        return Encoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
