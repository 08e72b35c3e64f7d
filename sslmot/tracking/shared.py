"""A gallery that processes and machines share: a log of samples in LanceDB tables."""

from __future__ import annotations

import time
import uuid
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.tracking.gallery import Gallery, expect_number
from sslmot.types import ArrayLike, Features

_BLOCK = 1000  # ids that a process reserves at once, or more
_CLAIMS, _SAMPLES = "claims", "samples"  # tables
_ALL = 2**31 - 1  # rows
_READ = 8192  # rows at once


class SharedGallery(Gallery):
    """A gallery whose additions go to a store that other processes read and write too.

    Each process holds all identities in memory and assigns from there, as :class:`Gallery`. Samples
    that were added go to the store, and those of others come from it, once in ``interval`` seconds
    at most, within calls of :meth:`add`, :meth:`identify` and :meth:`reserve`; a tracker makes the
    last one in each step. So processes know a person that another has seen after two intervals.
    They may give two ids to a person whom both see for the first time within that time.

    The store is append-only. The table ``samples`` has a row of writer, id and feature for each
    sample. The table ``claims`` has a row for each block of ids that a process reserved. The order
    of its rows, which is the order of commits, says which ids these are. So two processes never
    give out the same id, and none waits for another. A process that is killed loses the samples of
    its last interval and the ids it reserved; the store stays whole.

    Close it, or use it in a ``with`` statement: that writes the last samples. A copy, also in
    another process, is one more writer of the same store. LanceDB does not survive a fork: open the
    gallery in the new process, or start processes by ``spawn``.

    Args:
        uri: Folder of the store, or an object store such as ``s3://bucket/people``.
        interval: Least seconds between two exchanges with the store.
        min_similarity: As for :class:`Gallery`.
        margin: As for :class:`Gallery`.
        capacity: As for :class:`Gallery`: of identities in memory. The store keeps all.
        samples: As for :class:`Gallery`.
        encoder: As for :class:`Gallery`; a store with features has that of the first ones.

    Attributes:
        uri: As given.
        interval: As given.

    Raises:
        ImportError: LanceDB is not installed.
        ValueError: A setting is out of range, or the store has features of another encoder.
    """

    def __init__(
        self,
        uri: str,
        *,
        interval: float = 1.0,
        min_similarity: float = 0.75,
        margin: float = 0.1,
        capacity: int = 1000,
        samples: int = 8,
        encoder: str = "",
    ) -> None:
        super().__init__(
            min_similarity=min_similarity,
            margin=margin,
            capacity=capacity,
            samples=samples,
            encoder=encoder,
        )
        expect_number("interval", interval, 0, 86400)
        self.uri = str(uri)
        self.interval = float(interval)
        self._open()

    def _open(self) -> None:
        try:
            import lancedb
            import pyarrow
        except ImportError as error:
            raise ImportError(
                "a shared gallery needs LanceDB: pip install sslmot[gallery]"
            ) from error
        self._arrow = pyarrow
        self._store: Any = lancedb.connect(self.uri)
        schema = pyarrow.schema([("key", pyarrow.string()), ("ids", pyarrow.int64())])
        self._claims: Any = self._store.create_table(_CLAIMS, schema=schema, exist_ok=True)
        self._samples_table: Any = None
        self._writer = uuid.uuid4().hex
        self._waiting: list[tuple[int, Features]] = []
        self._rows_read = 0
        self._claimed = 0  # largest id of all claims that were read
        self._free = (1, 1)  # reserved ids: the next, and the one after the last
        self._exchanged = time.monotonic()
        self._read_claims()
        self._receive()

    def __reduce__(self) -> tuple[Any, ...]:
        names = ("interval", "min_similarity", "margin", "capacity", "samples", "encoder")
        self.flush()
        return _reopen, (self.uri, {name: getattr(self, name) for name in names})

    def __enter__(self) -> SharedGallery:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def next_id(self) -> int:
        """The next id that this process may give out; see :meth:`reserve`."""
        return self._free[0]

    def reserve(self, count: int, least: int = 1) -> int:
        """Return the first of ``count`` ids that no other process gives out.

        They stay reserved until they are added.

        Raises:
            ValueError: There are not so many ids left.
        """
        with self.lock:
            self._exchange_if_due()
            first, end = self._free
            first = max(first, least)
            if first + count <= end:
                self._free = first, end
                return first
            # Ids below `least` may not be used: with a claim this large, enough are above.
            needed = max(_BLOCK, 4 * count) + max(0, least - 1 - self._claimed)
            if self._claimed + needed > _core.LARGEST_ID:
                raise ValueError(
                    f"{self.uri}: expected {needed} ids up to {_core.LARGEST_ID}, "
                    f"got {_core.LARGEST_ID - self._claimed}"
                )
            key = uuid.uuid4().hex
            self._claims.add(self._arrow.table({"key": [key], "ids": [needed]}))
            first = self._read_claims(key)
            self._free = max(first, least), first + needed
            return self._free[0]

    def identify(self, features: ArrayLike, taken: Any = ()) -> npt.NDArray[np.int64]:
        """Assign identities to features, as :meth:`Gallery.identify`.

        Raises:
            ValueError: As :meth:`Gallery.identify`.
        """
        with self.lock:
            self._exchange_if_due()
            return super().identify(features, taken)

    def add(self, ids: npt.ArrayLike, features: ArrayLike) -> None:
        """Add features to identities, as :meth:`Gallery.add`.

        Args:
            ids: (N,) ids that were reserved, or that the gallery gave or contains.
            features: As for :meth:`Gallery.add`.

        Raises:
            ValueError: As :meth:`Gallery.add`, or no process has reserved an id.
        """
        numbers = np.asarray(ids)
        with self.lock:
            self._exchange_if_due()
            if numbers.dtype.kind in "iu" and numbers.size and numbers.max() > self._claimed:
                self._read_claims()
                if numbers.max() > self._claimed:
                    raise ValueError(
                        f"ids: expected ids that were reserved, up to {self._claimed}, "
                        f"got {numbers.max()}"
                    )
            super().add(numbers, features)
            unit, known = self._read(features, len(numbers))
            if not len(numbers):
                return
            first, end = self._free
            own = numbers[(numbers >= first) & (numbers < end)]
            if len(own):
                self._free = int(own.max()) + 1, end
            added = zip(numbers[known].tolist(), unit[known], strict=True)
            self._waiting += [(i, feature.copy()) for i, feature in added]

    def flush(self) -> None:
        """Write the samples that wait, and read those of others, now."""
        with self.lock:
            self._send()
            self._receive()
            self._exchanged = time.monotonic()

    def close(self) -> None:
        """Write the samples that wait."""
        with self.lock:
            self._send()

    def compact(self) -> None:
        """Merge the store's many small files, while others write.

        Each exchange with new samples makes a file, and opening the store reads all. One process
        should call it now and then, such as once an hour.
        """
        with self.lock:
            self._send()
            for table in (self._claims, self._samples_table):
                if table is not None:
                    table.checkout_latest()
                    table.optimize()

    def _exchange_if_due(self) -> None:
        if time.monotonic() - self._exchanged >= self.interval:
            self.flush()

    def _read_claims(self, key: str | None = None) -> int:
        """Read all claims; return the first id of the one with this key."""
        self._claims.checkout_latest()
        rows = self._claims.search().limit(_ALL).to_arrow()
        ends = np.cumsum(rows["ids"].to_numpy())
        self._claimed = int(ends[-1]) if len(ends) else 0
        if key is None:
            return 0
        at = rows["key"].to_pylist().index(key)
        return 1 + (int(ends[at - 1]) if at else 0)

    def _send(self) -> None:
        """Append the samples that wait, all or none."""
        if not self._waiting:
            return
        arrow, waiting = self._arrow, list(self._waiting)
        width = len(waiting[0][1])
        if self._samples_table is None and not self._find_samples():
            schema = arrow.schema(
                [
                    ("writer", arrow.string()),
                    ("id", arrow.int32()),
                    ("feature", arrow.list_(arrow.float32(), width)),
                ],
                metadata={"encoder": self.encoder},
            )
            self._store.create_table(_SAMPLES, schema=schema, exist_ok=True)
            self._find_samples()
        ids, features = zip(*waiting, strict=True)
        flat = arrow.array(np.concatenate(features))
        columns = {
            "writer": arrow.array([self._writer] * len(ids)),
            "id": arrow.array(ids, arrow.int32()),
            "feature": arrow.FixedSizeListArray.from_arrays(flat, width),
        }
        self._samples_table.add(arrow.table(columns))
        del self._waiting[: len(waiting)]

    def _find_samples(self) -> bool:
        """Open the table of samples, and check its encoder and width; False if there is none."""
        if _SAMPLES not in self._store.list_tables(limit=100).tables:
            return False
        table = self._store.open_table(_SAMPLES)
        schema = table.schema
        width = schema.field("feature").type.list_size
        encoder = (schema.metadata or {}).get(b"encoder", b"").decode()
        if self._rows and width != self._samples.shape[2]:
            raise ValueError(
                f"{self.uri}: expected features of width {self._samples.shape[2]}, got {width}"
            )
        if (self.encoder or self._rows) and encoder != self.encoder:
            raise ValueError(
                f"{self.uri}: expected features of encoder {self.encoder!r}, got {encoder!r}"
            )
        self.encoder = encoder
        self._samples_table = table
        return True

    def _receive(self) -> None:
        """Add what other processes have appended since."""
        if self._samples_table is None and not self._find_samples():
            return
        table = self._samples_table
        table.checkout_latest()
        total = table.count_rows()
        if total < self._rows_read:
            raise ValueError(
                f"{self.uri}: expected the {self._rows_read} samples that were there, got {total}"
            )
        while self._rows_read < total:
            rows = table.search().offset(self._rows_read).limit(_READ).to_arrow().combine_chunks()
            ids = rows["id"].to_numpy().astype(np.int64)
            of_others = np.array([w != self._writer for w in rows["writer"].to_pylist()], bool)
            if of_others.any():
                flat = rows["feature"].combine_chunks().flatten().to_numpy()
                super().add(ids[of_others], flat.reshape(len(ids), -1)[of_others])
            self._rows_read += len(rows)


def _reopen(uri: str, settings: dict[str, Any]) -> SharedGallery:
    return SharedGallery(uri, **settings)
