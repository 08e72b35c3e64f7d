"""Videos are tracked on a Ray cluster as alone, whatever dies; failures are reported at the end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslmot.cli import main
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.demo.run import write_crowd
from sslmot.offline.cluster import spread

FRAMES = 12
# Finds two boxes. What else it does depends on the width of the video.
DETECTOR = """
import os, signal
from pathlib import Path

calls = 0

def detect(frame):
    global calls
    calls += 1
    width = frame.shape[1]
    if calls == 1:
        with Path(f"starts-{width}").open("a") as file:
            file.write("x")
    if calls == 6:
        if width == 240 and len(Path("starts-240").read_text()) == 1 or width == 280:
            os.kill(os.getpid(), signal.SIGKILL)
        if width == 320:
            raise ZeroDivisionError("no boxes")
    return [[10 + calls, 10, 40 + calls, 90, 0.9], [60, 20 + calls, 90, 99, 0.8]]
"""


@pytest.fixture(scope="module")
def cluster():
    """A cluster of this process, with two CPUs."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install sslmot[ray]")
    ray.init(
        "local",
        num_cpus=2,
        num_gpus=0,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=10**8,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    config = CrowdConfig(people=4, frames=FRAMES, width=320, height=180, seed=3)
    return write_crowd(Crowd(config), tmp_path_factory.mktemp("data") / "crowd")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with a module that detects."""
    (tmp_path / "detector_of_test.py").write_text(DETECTOR)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("detector_of_test", None)


def write_video(path, width):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (width, 160))
    for t in range(FRAMES):
        writer.write(np.full((160, width, 3), 10 * t, np.uint8))
    writer.release()


def track(*arguments):
    main(["track", *map(str, arguments)])


def record(path):
    """What the record says, without the times."""
    return {k: v for k, v in json.loads(path.read_text()).items() if "seconds" not in k}


def same_results(one, other, names):
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes()
    for name in {name.split(".")[0] for name in names}:
        assert record(one / f"{name}.json") == record(other / f"{name}.json")


def test_results_are_those_of_a_run_alone(cluster, crowd, folder, capsys):
    images = folder / "shots"
    images.mkdir()
    for t in range(1, FRAMES + 1):
        (images / f"{t}.jpg").symlink_to(crowd.image_dir / f"{t:06d}.jpg")
    (images / "5.jpg").unlink()
    (images / "5.jpg").write_bytes(b"no picture")
    # A path that is relative to the working directory.
    flags = ["--format", "mot,jsonl", "--save-video", "--interpolate", 5, "--histogram"]
    found = ["--detections", crowd.detections_path]
    track(crowd.path, "shots", *found, *found, *flags, "--output", "spread", "--ray")
    out, err = capsys.readouterr()
    assert f"spread/crowd.txt: {FRAMES} frames" in out
    assert f"note: shots: 1 of {FRAMES} frames cannot be read, the first is frame 5" in err
    for source, name in ((crowd.path, "crowd"), ("shots", "shots")):
        track(source, *found, *flags, "--output", "alone")
        files = [f"{name}.{suffix}" for suffix in ("txt", "jsonl", "mp4")]
        same_results(folder / "spread", folder / "alone", files)
    assert len((folder / "spread/crowd.txt").read_text().splitlines()) > FRAMES


def test_a_video_whose_process_dies_is_repeated_and_failures_are_told(cluster, folder, capsys):
    for name, width in {"whole": 200, "once": 240, "always": 280, "wrong": 320}.items():
        write_video(folder / f"{name}.mp4", width)
    sources = ["whole.mp4", "always.mp4", "wrong.mp4", "once.mp4"]
    flags = ["--motion-only", "--detector", "detector_of_test:detect"]
    with pytest.raises(SystemExit) as exit_:
        track(*sources, *flags, "--output", "spread", "--ray")
    assert exit_.value.code == 1
    said = capsys.readouterr()[1]  # with messages of Ray
    assert "sslmot track: 2 of 4 failed\n" in said
    assert "wrong: ZeroDivisionError: no boxes\n" in said
    assert "always: WorkerCrashedError: " in said

    starts = {width: len((folder / f"starts-{width}").read_text()) for width in (200, 240, 280)}
    assert starts == {200: 1, 240: 2, 280: 3}
    assert len((folder / "starts-320").read_text()) == 1
    for name in ("whole", "once"):
        sys.modules.pop("detector_of_test", None)  # a run alone has a new process
        track(f"{name}.mp4", *flags, "--output", "alone")
    same_results(folder / "spread", folder / "alone", ["whole.txt", "once.txt"])
    assert len((folder / "spread/once.txt").read_text().splitlines()) > FRAMES
    assert not (folder / "spread/always.txt").exists()
    assert record(folder / "spread/wrong.json")["complete"] is False


def test_a_task_has_a_process_and_one_thread_and_reports_its_steps(cluster, folder):
    names = ("OMP_NUM_THREADS", "OPENCV_FFMPEG_THREADS", "OPENCV_FOR_THREADS_NUM")

    def work(job, report):
        for k in range(1, job + 1):
            report(k)
        if job == 2:
            raise KeyError(job)
        return os.getpid(), Path.cwd(), [os.environ[name] for name in names]

    shown = []
    ended = dict(spread(work, [5, 3, 2], progress=lambda *counts: shown.append(counts)))
    assert set(ended) == {5, 3, 2}
    assert type(ended[2]) is KeyError
    (pid, directory, threads), (other, *_) = ended[5], ended[3]
    assert directory == folder
    assert threads == ["1", "1", "1"]
    assert len({pid, other, os.getpid()}) == 3
    assert shown == sorted(shown)
    # What a job that failed did not report in time is unknown.
    assert shown[-1] in [(3, 8), (3, 10)]


INTERRUPTED = """
import signal, sys, time
from pathlib import Path

import ray

from sslmot.offline.cluster import spread

started, stopped = (Path(sys.argv[1]) / name for name in ("started", "stopped"))

def work(job, report):
    if job == "first":
        while not started.exists():
            time.sleep(0.01)
        return
    try:
        started.touch()
        while True:
            time.sleep(0.01)
    except KeyboardInterrupt:
        stopped.touch()
        raise

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell script
ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
ended = spread(work, ["first", "endless"])
assert next(ended) == ("first", None)
ended.close()
for _ in range(6000):  # on a busy machine the task may hear of it after the 10 s
    if stopped.exists():
        break
    time.sleep(0.01)
assert stopped.exists()
ray.shutdown()
"""


def test_tasks_are_interrupted_where_sigint_is_ignored(folder):
    pytest.importorskip("ray", reason="Ray is not installed: pip install sslmot[ray]")
    subprocess.run([sys.executable, "-c", INTERRUPTED, str(folder)], check=True, timeout=300)


def test_no_gpu(cluster, crowd, folder, capsys):
    said = refused(capsys, crowd.path, "--histogram", "--device", "cuda", "--ray")
    assert "address: expected a cluster with a GPU, got 0" in said


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_:
        track(*arguments)
    assert exit_.value.code == 2
    assert not Path("results").exists()
    return capsys.readouterr()[1]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--show", "--ray"], "--show: expected none with --ray"),
        (["--gallery", "g.npz", "--ray"], "--gallery: expected none with --ray"),
        (["--device", "cuda:1", "--ray"], "--device: expected cpu or cuda with --ray, got cuda:1"),
        (["--ray", "detector_of_test.py"], "--ray: expected an address, got the file detector_of"),
        (["--interpolate", "0", "--ray"], "max_gap: expected "),
        (["--max-age", "-1", "--ray"], "max_age: expected "),
    ],
)
def test_what_cannot_work_is_refused_first(crowd, folder, capsys, flags, expected):
    assert expected in refused(capsys, crowd.path, "--histogram", *flags)


def test_streams_are_refused(crowd, folder, capsys):
    write_video(folder / "clip.mp4", 200)
    address = f"file://{folder}/clip.mp4"
    flags = ["--detections", crowd.detections_path, "--motion-only", "--ray"]
    said = refused(capsys, address, *flags)
    assert f"sources: expected files with --ray, got {address}" in said


def test_no_cluster(crowd, folder):
    """In another process, since this one may be connected."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install sslmot[ray]")
    for address in ("127.0.0.1:1", "nonsense"):
        arguments = ["track", str(crowd.path), "--motion-only", "--ray", address]
        run = subprocess.run(
            [sys.executable, "-m", "sslmot", *arguments], capture_output=True, text=True
        )
        assert run.returncode == 2
        assert f"address: expected a Ray cluster, got {address}: " in run.stderr
        assert "Traceback" not in run.stderr


def test_no_ray(crowd, folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    said = refused(capsys, crowd.path, "--motion-only", "--ray")
    assert "a cluster needs Ray: pip install sslmot[ray]" in said


def test_nothing_imports_ray():
    code = "import sys, sslmot.cli, sslmot.offline.cluster; assert 'ray' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
