"""Pose views: made once, kept, and used in training."""

import dataclasses
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")
pytest.importorskip("kornia")

from safetensors.torch import load_file  # noqa: E402
from stick_figures import people  # noqa: E402

from sslmot.data.crops import CropSet  # noqa: E402
from sslmot.pngan.config import PnganConfig  # noqa: E402
from sslmot.pngan.generator import PoseGenerator  # noqa: E402
from sslmot.pngan.views import CANONICAL, make_poses  # noqa: E402
from sslmot.pose.canonical import CanonicalPoses  # noqa: E402
from sslmot.pose.full_body import full_body  # noqa: E402
from sslmot.training import trainer  # noqa: E402
from sslmot.training.augment import to_network  # noqa: E402
from sslmot.training.config import TrainConfig  # noqa: E402
from sslmot.training.pose_views import POSES, PoseViews  # noqa: E402

SIZE = (64, 32)
CONFIG = PnganConfig(pairs="flip", crop_size=SIZE, width=4, blocks=1)


@pytest.fixture(scope="module")
def data():
    """Crops of 12 people and their joints; every fourth crop shows no full body."""
    crops, joints = people(12, 4, SIZE)
    joints[..., :2] += np.random.default_rng(0).normal(0, 0.005, (48, 18, 2)).astype(np.float32)
    joints[::4, :, 2] = 0.1
    return crops, joints


@pytest.fixture(scope="module")
def generator():
    return PoseGenerator(CONFIG, device="cpu")


@pytest.fixture(scope="module")
def folder(data, generator, tmp_path_factory):
    output = tmp_path_factory.mktemp("made") / "poses"
    make_poses(*data, generator, output)
    return output


def test_each_crop_is_shown_in_the_canonical_poses_nearest_its_own(folder, data, generator):
    crops, joints = data
    canonical = CanonicalPoses.load(folder / "canonical.safetensors")
    assert len(canonical) == CANONICAL == 8
    images = np.load(folder / "images.npy")
    assert images.shape == (48, POSES, *SIZE, 3)
    assert POSES == 4
    for row in (0, 17, 47):
        nearest = canonical.nearest(joints[row : row + 1], POSES)[0]
        for view, pose in zip(images[row], nearest, strict=True):
            expected = generator(crops.images[row : row + 1], canonical.joints[pose : pose + 1])
            assert np.abs(view.astype(int) - expected[0]).max() <= 1
    np.testing.assert_array_equal(np.load(folder / "full_body.npy"), full_body(joints))


def test_views_are_found_by_what_the_crops_show(folder, data):
    crops, joints = data
    images = np.load(folder / "images.npy")
    order = np.random.default_rng(0).permutation(48)[:20]
    some = CropSet(
        crops.images[order], crops.clips[order], crops.frames[order], crops.tracklets[order],
        crops.clip_names,
    )  # fmt: skip
    views = PoseViews(folder, some)
    np.testing.assert_array_equal(views.full_body, full_body(joints)[order])
    rng = np.random.default_rng(1)
    drawn = np.stack([views.draw(np.arange(20), rng) for _ in range(40)])
    seen = (drawn[:, :, None] == images[order][None]).all((3, 4, 5))  # (40, 20, POSES)
    assert seen.any(2).all()
    assert seen.any(0).all()


def test_a_killed_call_goes_on(data, folder, generator, tmp_path, monkeypatch):
    monkeypatch.setattr("sslmot.pngan.views._BATCH", 4)
    monkeypatch.setattr("sslmot.pngan.views._DONE_EVERY", 2)

    class Killed(PoseGenerator):
        left = 5
        calls = 0

        def __call__(self, images, joints):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            self.calls += 1
            return super().__call__(images, joints)

    killed = Killed(CONFIG, device="cpu")
    output = tmp_path / "poses"
    with pytest.raises(KeyboardInterrupt):
        make_poses(*data, killed, output)
    with pytest.raises(ValueError, match=r"poses: expected those of all 48 crops .*, got 16; "):
        PoseViews(output, data[0])
    killed.left, killed.calls = 100, 0
    make_poses(*data, killed, output)
    assert killed.calls == 12 - 4  # two of its batches were noted as done twice
    made = np.load(output / "images.npy").astype(int)
    assert np.abs(made - np.load(folder / "images.npy")).max() <= 1
    killed.calls = 0
    make_poses(*data, killed, output)
    assert killed.calls == 0


def test_poses_of_others_are_refused(data, folder, generator, tmp_path):
    crops, joints = data
    before = (folder / "images.npy").read_bytes()
    other = PoseGenerator(dataclasses.replace(CONFIG, seed=1), device="cpu")
    with pytest.raises(ValueError, match=r"output: expected poses begun with generator \w+, got"):
        make_poses(crops, joints, other, folder)
    changed = dataclasses.replace(crops, images=crops.images[::-1].copy())
    with pytest.raises(
        ValueError, match=r"output: expected poses begun with crops \w+, got \w+ in"
    ):
        make_poses(changed, joints, generator, folder)
    elsewhere = joints.copy()
    elsewhere[5, 3, 0] += 0.01
    with pytest.raises(ValueError, match=r"output: expected poses begun with joints \w+, got \w+ "):
        make_poses(crops, elsewhere, generator, folder)
    assert (folder / "images.npy").read_bytes() == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="output: expected a new folder or one of poses"):
        make_poses(crops, joints, generator, tmp_path)
    strangers, _ = people(13, 4, SIZE)
    with pytest.raises(ValueError, match=r"poses: expected those of these 52 crops .*lacks 52 of"):
        PoseViews(folder, dataclasses.replace(strangers, images=255 - strangers.images))
    with pytest.raises(FileNotFoundError, match="poses: expected a folder of make-poses, got"):
        PoseViews(tmp_path, crops)


def test_no_full_body_in_the_whole_set(data, generator, tmp_path):
    crops, joints = data
    unseen = joints.copy()
    unseen[..., 2] = 0
    with pytest.raises(ValueError, match="expected 8 different full bodies or more, got 0 of 48"):
        make_poses(crops, unseen, generator, tmp_path / "poses")
    assert not (tmp_path / "poses").exists()


def test_crops_of_another_size(generator, tmp_path):
    crops, joints = people(4, 4, (32, 16))
    with pytest.raises(ValueError, match=r"crops: expected the generator's size \(64, 32\), got"):
        make_poses(crops, joints, generator, tmp_path / "poses")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("about.json", b"{", "about.json: expected JSON, got"),
        ("about.json", b"[1]", r"about.json: expected a JSON object, got \[1\]"),
        ("about.json", b"{}", r"poses: expected crops of None, got \[64, 32\]"),
        ("done.json", b"{}", "poses: expected those of all 48 crops in .*, got 0; "),
        ("digests.npy", b"", "digests.npy: expected an array, got"),
        ("images.npy", b"images", "images.npy: expected an array, got"),
    ],
)
def test_a_damaged_folder(name, content, message, data, folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        PoseViews(copy, data[0])


def test_crops_of_another_size_have_no_poses(folder):
    crops, _ = people(4, 4, (32, 16))
    with pytest.raises(ValueError, match=r"poses: expected crops of \[64, 32\], got \[32, 16\]"):
        PoseViews(folder, crops)


def test_a_call_that_is_killed_before_it_begins_can_begin_again(
    data, folder, generator, tmp_path, monkeypatch
):
    def full(*_):
        raise OSError("no space left")

    output = tmp_path / "poses"
    with monkeypatch.context() as patch:
        patch.setattr("os.posix_fallocate", full)
        with pytest.raises(OSError, match="no space left"):
            make_poses(*data, generator, output)
    assert list(tmp_path.iterdir()) == []
    make_poses(*data, generator, output)
    assert (output / "images.npy").stat().st_blocks * 512 >= 48 * POSES * 64 * 32 * 3


# Views in training: SSL-MOT, table 1.


def views_of(config, data, folder, seed=0):
    crops, _ = data
    run = trainer._Trainer(crops, config, folder, "cpu", False)
    batch = next(run.sampler.epoch(np.random.default_rng(0)))
    run.rng = np.random.default_rng(seed)
    first, second, _ = run._inputs(batch).views
    return batch, first, second


@pytest.fixture
def config(folder):
    return TrainConfig.paper(
        backbone="resnet18", crop_size=SIZE, batch_size=16, poses=str(folder), views="poses"
    )


def test_poses_as_they_are(config, data, folder):
    crops, _ = data
    batch, first, second = views_of(config, data, folder)
    made = np.load(folder / "images.npy")
    assert torch.equal(first, to_network(torch.from_numpy(crops.images[batch.first]), SIZE))
    for view, row in zip(second, batch.second, strict=True):
        options = to_network(torch.from_numpy(made[row]), SIZE)
        assert bool((options == view).all((1, 2, 3)).any())


@pytest.mark.parametrize(
    ("views", "full_only"), [("poses+image", False), ("poses+gate+image", True)]
)
def test_poses_are_changed_as_crops_are(views, full_only, config, data, folder, monkeypatch):
    """A step that adds a constant shows which image was augmented."""
    crops, joints = data
    config = dataclasses.replace(config, views=views)
    monkeypatch.setattr(
        trainer._Trainer, "_augmented", lambda self, images: self._network_input(images) + 1
    )
    batch, first, second = views_of(config, data, folder)
    made, full = np.load(folder / "images.npy"), full_body(joints)
    expected = to_network(torch.from_numpy(crops.images[batch.first]), SIZE) + 1
    assert torch.equal(first, expected)
    assert 0 < full[batch.second].sum() < 16
    for view, row in zip(second, batch.second, strict=True):
        shown = made[row] if full[row] or not full_only else crops.images[row : row + 1]
        options = to_network(torch.from_numpy(shown), SIZE) + 1
        assert bool((options == view).all((1, 2, 3)).any())


def test_poses_of_full_bodies_need_a_full_body(config, data, folder):
    crops, joints = data
    without = np.flatnonzero(~full_body(joints))[:10]
    some = CropSet(
        crops.images[without], crops.clips[without], crops.frames[without],
        crops.tracklets[without], crops.clip_names,
    )  # fmt: skip
    config = dataclasses.replace(config, batch_size=4)
    trainer._Trainer(some, dataclasses.replace(config, views="poses+image"), folder, "cpu", False)
    full_only = dataclasses.replace(config, views="poses+gate+image")
    with pytest.raises(ValueError, match=r"views: expected a full body or more .* none in 10 crop"):
        trainer._Trainer(some, full_only, folder, "cpu", False)


@pytest.mark.slow
def test_a_run_goes_on_with_the_poses_that_it_began_with(config, data, folder, tmp_path):
    crops, joints = data
    poses = tmp_path / "poses"
    shutil.copytree(folder, poses)
    config = dataclasses.replace(config, poses=str(poses), epochs=1)
    trainer.train(crops, config, tmp_path / "run", device="cpu")
    trainer.resume(tmp_path / "run", device="cpu")
    shutil.rmtree(poses)
    make_poses(crops, joints, PoseGenerator(CONFIG, device="cpu"), poses, seed=1)
    with pytest.raises(ValueError, match=r"poses: expected in .* what the run began with, got oth"):
        trainer.resume(tmp_path / "run", device="cpu")


def test_images_alone_need_no_poses(config, data, folder):
    crops, _ = data
    config = dataclasses.replace(config, views="image", poses="")
    batch, first, second = views_of(config, data, folder)
    assert np.array_equal(batch.first, batch.second)
    plain = to_network(torch.from_numpy(crops.images[batch.first]), SIZE)
    assert not torch.equal(first, plain)
    assert not torch.equal(first, second)


@pytest.mark.slow
def test_a_run_with_poses(config, data, folder, tmp_path):
    crops, _ = data
    config = dataclasses.replace(config, views="auto", epochs=1)
    trainer.train(crops, config, tmp_path / "run", device="cpu")
    saved = TrainConfig.load(tmp_path / "run" / "config.yaml")
    assert (saved.views, saved.poses) == ("poses+gate+image", str(folder))
    again = tmp_path / "again"
    trainer.train(crops, config, again, device="cpu")
    one, same = (load_file(run / "encoder.safetensors") for run in (tmp_path / "run", again))
    for name, tensor in one.items():
        assert torch.equal(tensor, same[name]), name
