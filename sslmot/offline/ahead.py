"""Embed the boxes of the next frames while the tracker is in this one."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

from sslmot import _core
from sslmot.inputs import read_detections
from sslmot.offline.prefetch import prefetch
from sslmot.tracking.frame import associate
from sslmot.tracking.tracker import Tracker
from sslmot.tracking.tracks import Tracks
from sslmot.types import ArrayLike, FeatureExtractor, Frame

Detected: TypeAlias = tuple[int, Frame | None, float | None, ArrayLike | None]
"""The number of a frame, the frame, its time in seconds and its detections. None for what is not
there."""


def embedded(
    items: Iterable[Detected], extractor: FeatureExtractor | None
) -> Generator[tuple[int, Frame | None, float | None, ArrayLike | None, Future[Any] | None]]:
    """Yield frames with the features of their detections, which are computed in threads.

    An encoder on the CPU gets a thread for each core that torch may use. One core a frame is faster
    than all cores in each, which wait for each other in every layer. Any other extractor, which may
    keep something between calls, is left to the tracker.

    Args:
        items: Frames with their detections.
        extractor: Of the tracker, or None.
    """
    if getattr(getattr(extractor, "device", None), "type", None) != "cpu":
        yield from ((*item, None) for item in items)
        return
    import torch

    def embed(frame: Frame | None, found: ArrayLike | None) -> Any:
        assert extractor is not None
        if frame is None or found is None:
            return None
        boxes = read_detections(found).boxes
        return extractor(frame, boxes) if len(boxes) else None

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from prefetch(
                ((*item, pool.submit(embed, item[1], item[3])) for item in items), ahead=threads
            )
    finally:
        torch.set_num_threads(threads)  # a part of the setting is not the thread's own


def step(
    tracker: Tracker,
    frame: Frame | None,
    found: ArrayLike,
    seconds: float | None,
    features: Future[Any] | None,
) -> Tracks:
    """Track a frame, as `Tracker.step` does, with the features of `embedded`.

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
