"""A suite of clips to choose settings by, instead of one clip.

    export PYTHONPATH=benchmarks OMP_NUM_THREADS=1
    from suite import load_rows, score, tracker, compare, leave_one_out
    rows = load_rows(kind="appearance")     # or "motion", or clips=["MOT17-09"], quick=True
    print(score(rows[0], tracker(TrackerConfig(max_age=1))))
    candidates = {f"{age}": TrackerConfig(max_age=age) for age in (1, 3, 10)}
    table = compare(candidates, rows)       # {candidate: {clip: mean IDF1 of its rows}}
    print(mean(table["3"]), leave_one_out(candidates, table))

A row is a clip with the detections of one detector, at every frame or every n-th. `score` gives
IDF1, switches and MOTA as TrackEval does, and recovery after gaps; `idf1` gives IDF1 alone, several
times faster. A prototype needs no more than
``step(None, detections, embeddings=...)`` that returns ``ids`` and ``detection_index``: pass
``lambda row: Prototype(row.frame_rate)`` in place of ``tracker(config)``.

The score of a suite is the mean of IDF1 over its clips, each clip the mean of its rows. The first
call of `load_rows` detects and embeds for minutes, later ones read the cache.
"""

from suite.clips import CLIPS, Row, default_cache, load_rows
from suite.scores import (
    GAPS,
    Recovery,
    Result,
    Scores,
    idf1_of_tracks,
    perfect_tracks,
    score_tracks,
)
from suite.trackers import (
    LeftOut,
    clip_means,
    compare,
    idf1,
    leave_one_out,
    mean,
    score,
    track,
    tracker,
)

__all__ = [
    "CLIPS",
    "GAPS",
    "LeftOut",
    "Recovery",
    "Result",
    "Row",
    "Scores",
    "clip_means",
    "compare",
    "default_cache",
    "idf1",
    "idf1_of_tracks",
    "leave_one_out",
    "load_rows",
    "mean",
    "perfect_tracks",
    "score",
    "score_tracks",
    "track",
    "tracker",
]
