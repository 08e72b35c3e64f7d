"""Write tracks as a recording of Rerun, whose viewer shows boxes over time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sslmot import files
from sslmot.data.clip import Add, Clip
from sslmot.data.mot import FrameResult


@contextmanager
def rerun_recording(path: Path, clip: Clip) -> Iterator[Add]:
    """Open a recording of Rerun: the entity "tracks", by frame number from 1 and by time.

    Boxes are labelled with id and class, and have the id's colour. A frame without tracks has no
    box.

    Raises:
        ImportError: Rerun is not installed.
    """
    try:
        import rerun
    except ImportError:
        raise ImportError("Rerun's recordings need it: pip install rerun-sdk") from None
    with files.workplace(path) as folder:
        part = folder / "part.rrd"
        recording = rerun.RecordingStream("sslmot", recording_id=clip.name)
        recording.save(part)

        def add(result: FrameResult) -> None:
            recording.set_time("frame", sequence=result.frame)
            recording.set_time("time", duration=(result.frame - 1) / clip.frame_rate)
            ids = result.ids.tolist()
            names = [str(identity) for identity in ids]
            if result.classes is not None:
                classes = result.classes.tolist()
                names = [f"{i} {clip.class_name(c)}" for i, c in zip(ids, classes, strict=True)]
            boxes = rerun.Boxes2D(
                array=result.boxes,
                array_format=rerun.Box2DFormat.XYXY,
                labels=names,
                class_ids=[identity % 2**16 for identity in ids],  # Rerun has 16 bits for a colour
            )
            recording.log("tracks", boxes)

        try:
            yield add
        finally:
            recording.flush()
            recording.disconnect()
        part.replace(path)
