"""Items are read in a thread before they are used."""

import threading
import time

import pytest

from sslmot.offline.prefetch import prefetch


def test_all_in_order():
    assert list(prefetch(range(100))) == list(range(100))
    assert list(prefetch([])) == []


def test_the_next_is_made_while_one_is_used():
    made = []

    def items():
        for i in range(10):
            made.append((i, threading.get_ident()))
            yield i

    used = prefetch(items(), ahead=2)
    assert next(used) == 0
    deadline = time.monotonic() + 10
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.05)
    # One is in use, two wait, one is read and blocked.
    assert [i for i, _ in made] == [0, 1, 2, 3]
    assert threading.get_ident() not in {thread for _, thread in made}


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise OSError("damaged")

    used = prefetch(items())
    assert [next(used), next(used)] == [1, 2]
    with pytest.raises(OSError, match="damaged"):
        next(used)


def test_no_thread_is_left_after_an_early_stop():
    before, closed = threading.active_count(), []

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.append(True)

    source = items()
    used = prefetch(source)
    assert next(used) == 0
    used.close()
    assert threading.active_count() == before
    source.close()
    assert closed == [True]
