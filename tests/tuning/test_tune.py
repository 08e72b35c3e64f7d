"""The search of settings: proposals, results, and continued searches."""

import dataclasses
import math

import pytest

optuna = pytest.importorskip("optuna")
yaml = pytest.importorskip("yaml")
pytest.importorskip("trackeval")

from sslmot.appearance.histogram import ColorHistogram  # noqa: E402
from sslmot.cli import main  # noqa: E402
from sslmot.data.mot import Sequence, sequences  # noqa: E402
from sslmot.demo.crowd import Crowd, CrowdConfig  # noqa: E402
from sslmot.demo.run import write_crowd  # noqa: E402
from sslmot.evaluation.tracks import COMBINED, evaluate  # noqa: E402
from sslmot.offline.run import Output, track_sequence  # noqa: E402
from sslmot.tracking.config import TrackerConfig  # noqa: E402
from sslmot.tracking.tracker import Tracker  # noqa: E402
from sslmot.tuning import search as module  # noqa: E402
from sslmot.tuning.search import SPACE, tune  # noqa: E402


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Write two short generated sequences."""
    root = tmp_path_factory.mktemp("data")
    for seed in (1, 2):
        config = CrowdConfig(people=6, frames=40, width=320, height=180, seed=seed)
        write_crowd(Crowd(config), root / f"crowd-{seed}")
    return root


def study_of(output):
    return optuna.load_study(study_name="sslmot", storage=f"sqlite:///{output / 'study.db'}")


def trials(output):
    """Return settings, score and state of each finished trial."""
    found = [(trial.params, trial.value, trial.state.name) for trial in study_of(output).trials]
    return [row for row in found if row[2] in ("COMPLETE", "PRUNED")]


# The search space


def test_names_and_types_are_those_of_the_config():
    default = TrackerConfig()
    for name, where in SPACE.items():
        assert name in {field.name for field in dataclasses.fields(TrackerConfig)}
        value = getattr(default, name)
        assert type(where.low) is type(where.high) is type(value)
        assert where.low <= value <= where.high  # the defaults are in the range
        for end in (where.low, where.high):
            assert math.isfinite(end)
            dataclasses.replace(default, **{name: end})


def test_every_proposal_is_a_config():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    configs = set()
    for _ in range(50):
        configs.add(module._proposed(study.ask(), TrackerConfig(), SPACE))
    assert len(configs) == 50
    assert {config.min_hits for config in configs} == set(range(4))


# Results


def test_the_best_is_no_worse_than_the_defaults_and_tracks_as_it_says(root, tmp_path):
    found = tune(sequences(root), tmp_path / "tune", trials=4, metric="idf1")
    assert found.trials == 4
    assert found.score >= found.default
    fields = yaml.safe_load((tmp_path / "tune/config.yaml").read_text())
    assert TrackerConfig(**fields) == found.config
    for config, score in ((found.config, found.score), (TrackerConfig(), found.default)):
        for sequence in sequences(root):
            track_sequence(
                sequence, Tracker(config), Output(tmp_path / "results"), appearance=False
            )
        scores = evaluate(root, tmp_path / "results")
        assert scores[COMBINED].idf1 == pytest.approx(score)
    # Settings of appearance were not searched.
    default = TrackerConfig()
    for name, where in SPACE.items():
        if where.appearance:
            assert getattr(found.config, name) == getattr(default, name)


def test_a_frame_is_embedded_once(root, tmp_path):
    class Counting(ColorHistogram):
        calls = 0

        def __call__(self, frame, boxes):
            Counting.calls += 1
            return super().__call__(frame, boxes)

    one = Sequence.open(root / "crowd-1")
    found = tune([one], tmp_path, extractor=Counting(), trials=2)
    assert Counting.calls <= one.length
    assert found.pruned == 0  # a trial is not stopped at the last sequence
    assert set(trials(tmp_path)[0][0]) == set(SPACE)


def test_an_extractor_is_known_by_its_fingerprint(root, tmp_path):
    class Other(ColorHistogram):
        fingerprint = "other"

    one = sequences(root, "1")
    tune(one, tmp_path, extractor=ColorHistogram(), trials=1)
    with pytest.raises(ValueError, match="extractor 'ColorHistogram' as before, got 'other'"):
        tune(one, tmp_path, extractor=Other(), trials=1)
    nameless = ColorHistogram().__call__
    tune(one, tmp_path / "nameless", extractor=nameless, trials=1)
    assert study_of(tmp_path / "nameless").user_attrs["extractor"] == "method"


def test_bad_trials_are_stopped(root, tmp_path):
    found = tune(sequences(root), tmp_path, trials=9)
    states = [state for _, _, state in trials(tmp_path)]
    assert states.count("PRUNED") == found.pruned > 0
    assert states[:5] == ["COMPLETE"] * 5  # there is no median yet


def test_another_call_continues_the_search(root, tmp_path, monkeypatch):
    given = {"seed": 3, "metric": "mota"}
    whole = tune(sequences(root), tmp_path / "whole", trials=4, **given)
    tune(sequences(root), tmp_path / "parts", trials=1, **given)
    counts = iter([module.count] * 3)

    def interrupted(*args):
        count = next(counts, None)
        if count is None:
            raise KeyboardInterrupt
        return count(*args)

    with monkeypatch.context() as patch:
        patch.setattr(module, "count", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tune(sequences(root), tmp_path / "parts", trials=4, **given)
    assert len(trials(tmp_path / "parts")) == 2
    # As after kill -9, which leaves an unfinished trial.
    study_of(tmp_path / "parts").ask()
    assert tune(sequences(root), tmp_path / "parts", trials=4, **given) == whole
    assert trials(tmp_path / "parts") == trials(tmp_path / "whole")
    # Nothing is left to do, and with fewer trials none is removed.
    monkeypatch.delattr(module, "count")
    assert tune(sequences(root), tmp_path / "parts", trials=3, **given) == whole


def test_another_seed_tries_other_settings(root, tmp_path):
    one = sequences(root, "1")
    for seed in (0, 1):
        tune(one, tmp_path / str(seed), trials=2, seed=seed)
    a, b = trials(tmp_path / "0"), trials(tmp_path / "1")
    assert a[0] == b[0]
    assert a[1][0] != b[1][0]


def test_command(root, tmp_path, capsys):
    output = tmp_path / "tune"
    arguments = ["tune", str(root), "--output", str(output), "--motion-only", "--sequences", "2"]
    main([*arguments, "--trials", "2"])
    text = capsys.readouterr().out
    assert yaml.safe_load(text) == yaml.safe_load((output / "config.yaml").read_text())
    assert text.splitlines()[-1].startswith(f"# {output / 'config.yaml'}: hota ")
    assert "2 trials" in text
    with pytest.raises(SystemExit):
        main([*arguments, "--metric", "idf1"])
    expected = f"sslmot tune: {output / 'study.db'}: expected metric 'hota' as before, got 'idf1'\n"
    assert capsys.readouterr().err.endswith(expected)


# Errors


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"metric": "hz"}, "metric: expected hota, idf1, mota, got 'hz'"),
        ({"trials": 0}, "trials: expected an integer of 1 or more, got 0"),
        ({"seed": -1}, "seed: expected an integer of 0 or more, got -1"),
        ({"sequences": []}, "sequences: expected one or more, got none"),
    ],
)
def test_arguments_out_of_range(root, tmp_path, argument, message):
    with pytest.raises(ValueError, match=message):
        tune(**{"sequences": sequences(root), "output": tmp_path / "tune", **argument})
    assert not (tmp_path / "tune").exists()


def test_a_study_with_other_arguments(root, tmp_path):
    tune(sequences(root, "1"), tmp_path, trials=1)
    with pytest.raises(ValueError, match=r"expected sequences \['crowd-1'\] as before, got"):
        tune(sequences(root), tmp_path, trials=1)
    with pytest.raises(ValueError, match="expected extractor None as before, got 'ColorHist"):
        tune(sequences(root, "1"), tmp_path, trials=1, extractor=ColorHistogram())
    (tmp_path / "study.db").write_bytes(b"no database, and longer than nothing" * 40)
    with pytest.raises(ValueError, match=r"study\.db: expected a study of Optuna, got"):
        tune(sequences(root), tmp_path, trials=1)


def test_no_ground_truth(root, tmp_path):
    bare = tmp_path / "crowd-1"
    bare.mkdir()
    for name in ("seqinfo.ini", "det"):
        (bare / name).symlink_to(root / "crowd-1" / name)
    with pytest.raises(FileNotFoundError, match="the ground truth of crowd-1"):
        tune(sequences(tmp_path), tmp_path / "tune")
