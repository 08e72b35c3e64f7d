"""Embed the boxes of the next frames while the tracker is in this one."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

from sslmot import _core
from sslmot.inputs import read_detections
from sslmot.offline.prefetch import prefetch
from sslmot.threads import kept_threads, set_threads
from sslmot.tracking.frame import associate
from sslmot.tracking.tracker import Tracker
from sslmot.tracking.tracks import Tracks
from sslmot.types import ArrayLike, FeatureExtractor, Frame

_MOST_WORKERS = 4  # each keeps a frame and the network's maps

Detected: TypeAlias = tuple[int, Frame | None, float | None, ArrayLike | None]
"""The number of a frame, the frame, its time in seconds and its detections. None for what is not
there."""


def embedded(
    items: Iterable[Detected], extractor: FeatureExtractor | None
) -> Generator[tuple[int, Frame | None, float | None, ArrayLike | None, Future[Any] | None]]:
    """Embed the detections of the next frames in threads, if the extractor says it is thread-safe.

    One core a frame is faster than all cores in each, which wait for each other in every layer. It
    takes longer for a single frame, so it is not for live video.

    Args:
        items: Frames with their detections.
        extractor: Of the tracker, or None.

    Yields:
        The items, with their features to be. None for features that are left to the tracker.
    """
    if not getattr(extractor, "thread_safe", False):
        yield from ((*item, None) for item in items)
        return

    def embed(frame: Frame | None, found: ArrayLike | None) -> Any:
        assert extractor is not None
        if frame is None or found is None:
            return None
        boxes = read_detections(found).boxes
        return extractor(frame, boxes) if len(boxes) else None

    with kept_threads() as cores:
        workers = min(cores, _MOST_WORKERS)
        each = (cores // workers,)
        with ThreadPoolExecutor(workers, initializer=set_threads, initargs=each) as pool:
            yield from prefetch(
                ((*item, pool.submit(embed, item[1], item[3])) for item in items), ahead=workers
            )


def step(
    tracker: Tracker,
    frame: Frame | None,
    found: ArrayLike,
    seconds: float | None,
    features: Future[Any] | None,
) -> Tracks:
    """Track a frame, as `Tracker.step` does, with the features of `embedded`.

    Args:
        tracker: The tracker.
        frame: The frame, or None.
        found: Its detections.
        seconds: Its timestamp, or None.
        features: Its features to be, or None to compute them now.

    Returns:
        As `Tracker.step`.

    Raises:
        Exception: That of the extractor, or of `Tracker.step`.
    """
    if features is None:
        return tracker.step(frame, found, timestamp=seconds)
    with _core.Hold([tracker.table]):
        extracted = features.result()
        prepared = tracker.prepare(frame, found, None, timestamp=seconds, extracted=extracted)
        associate([prepared])
        return tracker.commit(prepared)
