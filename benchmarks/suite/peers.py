"""Other trackers on the rows of the suite; their tracks are cached.

Each is run at its own patience and at those of `PATIENCES`, in frames of the whole clip: at every
n-th frame it is an n-th. A row's figure is that of the best.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from peers import Method

from sslmot import files
from suite.clips import Row
from suite.scores import Result, idf1_of_tracks

PATIENCES = (30, 90, 150)


@dataclass(frozen=True)
class Best:
    """A peer at its best on a row.

    Attributes:
        idf1: Percent; NaN where the peer fails.
        patience: Frames of the whole clip.
        result: Its tracks; None where it fails.
        error: Why it fails.
    """

    idf1: float
    patience: int
    result: Result | None
    error: str | None = None


def best_of(peer: Method, row: Row, cache: Path) -> Best:
    """Return a peer at the patience of the highest IDF1."""
    found = Best(float("nan"), peer.patience, None)
    for patience in sorted({peer.patience, *PATIENCES}):
        try:
            result = run(peer, patience, row, cache)
        except Exception as error:  # some peers fail on some input: it is part of the comparison
            found = Best(found.idf1, found.patience, found.result, found.error or repr(error))
            continue
        idf1 = idf1_of_tracks(row, result)
        if not idf1 <= found.idf1:
            found = Best(idf1, patience, result, found.error)
    return found


def run(peer: Method, patience: int, row: Row, cache: Path) -> Result:
    """Return a peer's tracks, from the cache where they are."""
    if not peer.features:
        row = row.without_embeddings()
    what = f"{peer.title} {patience} {row.key}".encode()
    path = cache / "peers" / f"{peer.name}-{hashlib.sha256(what).hexdigest()[:16]}.npz"
    if not path.exists():
        step = peer.make(max(1, round(patience / row.every)))
        result = []
        for t, dets in enumerate(row.detections):
            embeddings = None if row.embeddings is None else row.embeddings[t]
            result.append(step(dets, embeddings, None))
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            ids=np.concatenate([ids for ids, _ in result]).astype(np.int64),
            index=np.concatenate([index for _, index in result]).astype(np.int64),
            counts=[len(ids) for ids, _ in result],
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, buffer.getvalue())
    with np.load(path) as file:
        ends = np.cumsum(file["counts"])[:-1]
        ids, index = (np.split(file[name], ends) for name in ("ids", "index"))
    return list(zip(ids, index, strict=True))
