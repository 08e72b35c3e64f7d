"""Run a few cases of each fuzz target, and test that the fuzzer finds each kind of fault."""

import mmap
import os
import signal
import time

import numpy as np
import pytest
from fuzz import harness, native, readers, steps, threads

from sslmot.training.run import Run

TARGETS = native.TARGETS | readers.TARGETS | steps.TARGETS
FEW = {"native.pile": 3, "steps.crowd": 3, "resume": 2, "export": 5}
"""Numbers of cases for slow targets."""


@pytest.mark.parametrize("name", TARGETS)
def test_targets_have_no_fault(name):
    cases = FEW.get(name, 15)
    for number in range(cases):
        TARGETS[name](harness.generator(1, name, number))


@pytest.mark.parametrize("name", ["resume", "resume pngan"])
def test_a_training_ends_after_an_epoch_if_its_number_was_damaged(name, monkeypatch):
    def damaged(rng, base, folder):
        path = readers._linked(base, folder, "config.yaml")
        path.write_text(path.read_text().replace("epochs: 1\n", "epochs: 1000\n"))
        assert "epochs: 1000" in path.read_text()
        return path

    trained = []
    train_epoch = Run._train_epoch
    monkeypatch.setattr(Run, "_train_epoch", lambda run: (trained.append(run), train_epoch(run)))
    readers.PREPARE[name]()
    trained.clear()
    monkeypatch.setattr(readers, "_of_folder", damaged)
    readers.TARGETS[name](harness.generator(1, name, 0))
    assert len(trained) == 1


def test_threads_do_not_disturb_each_other():
    threads.together(threads.film, [0, 1])
    threads.together(threads.calls, [0, 1])


def raises(rng):
    raise KeyError("odd")


def is_killed(rng):
    os.kill(os.getpid(), signal.SIGKILL)


def takes_long(rng):
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass


def fresh_memory(size):
    """Fill ``size`` bytes from the system: NumPy would take what earlier tests left in the heap."""
    np.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE), np.uint8)[:] = 1


def takes_memory(rng):
    fresh_memory(2**28)


def hangs(rng):
    time.sleep(60)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (raises, "KeyError: 'odd'"),
        (is_killed, "the process ended by signal 9"),
        (takes_long, "AssertionError: expected at most 0.1 s, took 0.2"),
        (takes_memory, "AssertionError: expected at most 1048576 bytes, took"),
        (hangs, "it did not end in"),
    ],
)
def test_a_fault_is_reported_with_its_case(target, message, capfd, monkeypatch):
    monkeypatch.setattr(harness, "LONGEST_CASE", 0.1 if target is takes_long else 100)
    monkeypatch.setattr(harness, "MOST_MEMORY", 2**20 if target is takes_memory else 2**40)
    monkeypatch.setattr(harness, "HANG", 1.0 if target is hangs else 100)
    assert not harness.fuzz({"bad": target}, 100, 7)
    output = capfd.readouterr().out
    assert "fault in bad:0, seed 7" in output
    assert message in output
    assert not harness.repeat(target, 7, "bad", 0)


def test_a_note_that_is_read_while_it_is_written_is_no_hang(monkeypatch):
    read = harness.Note.read
    torn = iter([(0.0, False, ""), None] * 1000)
    monkeypatch.setattr(harness.Note, "read", lambda note: next(torn) or read(note))
    assert harness.fuzz({"one": lambda rng: None}, 0.3, 1)


def test_large_arrays_are_not_replaced():
    arguments = {"out": np.zeros(native._MOST_BYTES + 1, np.uint8)}
    assert not any(native.spoil(np.random.default_rng(seed), arguments) for seed in range(50))


def test_a_case_is_the_same_when_repeated():
    seen = []

    def note(rng):
        seen.append(rng.integers(10**9))

    for number in (3, 4, 3):
        harness.run_case(note, 5, "note", number, harness.Tally())
    assert seen[0] == seen[2] != seen[1]


def test_time_is_shared_and_reported(capfd):
    assert harness.fuzz({"one": lambda rng: None, "two": lambda rng: None}, 0.2, 1)
    output = capfd.readouterr().out
    assert output.splitlines()[1].startswith("one")
    assert "no fault in" in output


def test_memory_of_a_target_does_not_count_for_its_cases(monkeypatch):
    monkeypatch.setattr(harness, "MOST_MEMORY", 2**26)
    prepare = {"one": lambda: fresh_memory(2**27)}
    assert harness.fuzz({"one": lambda rng: None}, 0.1, 1, prepare)
    assert harness.repeat(lambda rng: None, 1, "one", 0, prepare)
    assert not harness.fuzz({"one": lambda rng: fresh_memory(2**27)}, 0.1, 1)
