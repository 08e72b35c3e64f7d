"""Identities that a gallery gives to tracks."""

from __future__ import annotations

from sslmot import _core
from sslmot.tracking.frame import Frame
from sslmot.tracking.gallery import Gallery
from sslmot.tracking.state import features_of


def expect_ids(table: _core.TrackTable, gallery: Gallery, detections: int, cameras: int) -> None:
    """Refuse a frame that could need more new ids than the gallery has left.

    It is checked before the first phase: once the gallery assigns ids, nothing can be refused.

    Args:
        table: The tracks.
        gallery: The gallery.
        detections: Number of detections of the frame.
        cameras: Number of frames that are associated in one call.

    Raises:
        ValueError: There are more detections than ids.
    """
    first = gallery.reserve(detections * cameras, table.next_id)
    left = _core.LARGEST_ID + 1 - first
    if detections * cameras > left:
        raise ValueError(
            f"dets: expected at most {left // cameras} rows, as {left} ids up to "
            f"{_core.LARGEST_ID} are left, got {detections}"
        )


def assign_ids(frame: Frame, gallery: Gallery) -> None:
    """Give confirmed tracks the identities that the gallery knows them by, or new ones.

    Tentative tracks come before detections that start tracks. The gallery gets their features, and
    those of the tracks that are lost since this frame.

    Args:
        frame: A frame that is associated.
        gallery: The gallery.
    """
    table, step = frame.table, frame.step
    if frame.width is not None:
        gallery.bind(frame.model, frame.width)
    for new_tracks in (False, True):
        rows = table.without_id(step, new_tracks)
        if not len(rows):
            continue
        device = frame.device
        features = step.features[rows] if device is None else device.confirmations(rows)
        known = gallery.identify(features, table.in_view(step).tolist())
        first = gallery.reserve(len(rows), table.next_id)
        table.assign_ids(step, new_tracks, known, first)
        gallery.add(step.confirmed_ids[rows], features)
    lost, slots = table.just_lost(step)
    if len(lost):
        gallery.add(lost, features_of(table, frame.history, slots))
