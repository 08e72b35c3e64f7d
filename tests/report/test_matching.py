"""Matches and switches, against TrackEval and small examples."""

import numpy as np
import pytest

from sslmot.data import mot
from sslmot.data.mot import FrameResult, GroundTruth, write_results, write_sequence
from sslmot.report.clip import read_clips
from sslmot.report.matching import match
from sslmot.report.switches import possible_switches, switches, transfers, worst


def write_clip(folder, truth, results, *, classes=None, considered=None, frame_rate=30):
    """Write a clip whose boxes are 40x80 pixels at x: lists of {person: x} and {id: x}."""

    def boxes(places):
        xs = np.array(list(places.values()), np.float32)
        return np.column_stack([xs, 0 * xs + 50, xs + 40, 0 * xs + 130])

    frames = np.repeat(np.arange(1, len(truth) + 1), [len(t) for t in truth])
    ids = np.array([person for t in truth for person in t], np.int64)
    n = len(ids)
    given = GroundTruth(
        frames=frames,
        ids=ids,
        boxes=np.concatenate([np.empty((0, 4), np.float32), *(boxes(t) for t in truth)]),
        considered=np.ones(n, bool) if considered is None else considered,
        classes=np.ones(n, int) if classes is None else classes,
        visibility=np.ones(n, np.float32),
    )
    empty = {t: np.empty((0, 5)) for t in range(1, len(truth) + 1)}
    sequence = write_sequence(folder / "data", "clip", frame_rate, (640, 360), empty, given)
    write_results(
        folder / "results/clip.txt",
        [
            FrameResult(t, np.array(list(found)), boxes(found), np.ones(len(found)))
            for t, found in enumerate(results, 1)
        ],
    )
    [clip] = read_clips(folder / "results", sequence.path)
    return clip


@pytest.mark.parametrize("seed", range(8))
def test_matches_are_those_of_trackeval(tmp_path, seed):
    pytest.importorskip("trackeval")
    from sslmot.evaluation.tracks import evaluate

    rng = np.random.default_rng(seed)
    walk = rng.uniform(0, 500, 7) + rng.normal(0, 6, (60, 7)).cumsum(axis=0)
    names = np.arange(7)
    truth, results = [], []
    for x in walk:
        if rng.random() < 0.3:
            names = rng.permutation(names)
        seen, found = rng.random(7) < 0.8, rng.random(7) < 0.8
        truth.append({int(p) + 1: x[p] for p in np.flatnonzero(seen)})
        noisy = x + rng.normal(0, 6, 7)
        results.append({int(names[p]) + 1: noisy[p] for p in np.flatnonzero(found)})
    n = sum(map(len, truth))
    classes = rng.choice([1, 1, 1, 2, 7, 8, 12, 3], n)
    clip = write_clip(
        tmp_path, truth, results, classes=classes, considered=(classes == 1) & (rng.random(n) < 0.9)
    )
    matching = match(clip)
    scores = evaluate(clip.source.path, tmp_path / "results")["clip"]
    assert scores.idsw > 20
    assert len(switches(clip, matching)) == scores.idsw
    assert (matching.match < 0).sum() == scores.fn
    assert (~matching.ignored).sum() - (matching.match >= 0).sum() == scores.fp
    assert matching.ignored.any()


def test_a_switch_has_the_rows_and_lengths_around_it(tmp_path):
    truth = [{5: 100}] * 10
    results = [{1: 100}] * 4 + [{}] * 2 + [{2: 101}] * 4
    clip = write_clip(tmp_path, truth, results)
    [switch] = switches(clip, match(clip))
    assert switch.people == (5, 5)
    assert switch.lengths == (4, 4)
    assert clip.frames[[switch.before, switch.after]].tolist() == [4, 7]
    assert clip.ids[[switch.before, switch.after]].tolist() == [1, 2]
    assert transfers(clip, match(clip)) == []


def test_an_identity_that_passes_to_a_new_person_is_no_switch(tmp_path):
    truth = [{5: 100}] * 4 + [{6: 300}] * 6
    clip = write_clip(tmp_path, truth, [{1: 100}] * 4 + [{1: 300}] * 6)
    assert switches(clip, match(clip)) == []
    [passed] = transfers(clip, match(clip))
    assert passed.people == (5, 6)
    assert passed.lengths == (4, 6)
    assert clip.frames[[passed.before, passed.after]].tolist() == [4, 5]


def test_people_who_exchange_identities(tmp_path):
    truth = [{5: 100, 6: 300}] * 8
    results = [{1: 100, 2: 300}] * 4 + [{2: 100, 1: 300}] * 4
    clip = write_clip(tmp_path, truth, results)
    found = switches(clip, match(clip))
    assert [(s.people, int(clip.frames[s.after])) for s in found] == [((5, 5), 5), ((6, 6), 5)]
    assert transfers(clip, match(clip)) == []


def test_the_worst_switches_cut_long_parts(tmp_path):
    truth = [{5: 100}] * 20
    results = [{1: 100}] * 8 + [{2: 100}] * 1 + [{1: 100}] * 6 + [{3: 100}] * 5
    clip = write_clip(tmp_path, truth, results)
    found = switches(clip, match(clip))
    assert [s.lengths for s in found] == [(8, 1), (1, 6), (6, 5)]
    assert worst(found, 2) == [found[2], found[0]]


def test_possible_switches_without_ground_truth(tmp_path):
    results = [{1: 100, 9: 400}] * 5 + [{9: 400}] * 3 + [{2: 130, 9: 400}] * 5
    clip = write_clip(tmp_path, [{}] * 13, results)
    [switch] = possible_switches(clip)
    assert switch.people is None
    assert switch.lengths == (5, 5)
    assert clip.ids[[switch.before, switch.after]].tolist() == [1, 2]


@pytest.mark.parametrize(("x", "gap"), [(250, 3), (100, 70)])
def test_far_and_late_identities_are_no_possible_switches(tmp_path, x, gap):
    clip = write_clip(
        tmp_path, [{}] * (10 + gap), [{1: 100}] * 5 + [{}] * gap + [{2: x}] * 5, frame_rate=30
    )
    assert possible_switches(clip) == []


def test_each_identity_ends_and_begins_once(tmp_path):
    """Two end, one begins: the nearer one goes on."""
    results = [{1: 100, 2: 120}] * 5 + [{3: 121}] * 5
    clip = write_clip(tmp_path, [{}] * 10, results)
    [switch] = possible_switches(clip)
    assert clip.ids[[switch.before, switch.after]].tolist() == [2, 3]


def test_no_results(tmp_path):
    clip = write_clip(tmp_path, [{5: 100}] * 3, [{}] * 3)
    assert possible_switches(clip) == []
    matching = match(clip)
    assert matching.match.tolist() == [-1, -1, -1]
    assert switches(clip, matching) == transfers(clip, matching) == []


def test_a_clip_without_ground_truth_cannot_be_matched(tmp_path):
    clip = write_clip(tmp_path, [{}] * 3, [{1: 5}] * 3)
    [bare] = read_clips(tmp_path / "results")
    assert mot.read_results(bare.path)
    with pytest.raises(ValueError, match=r"clip\.txt: expected ground truth, got none"):
        match(bare)
    assert len(match(clip).rows) == 0
