"""Crop sets: checks, joining, files. Folders of images. Cutting boxes as images."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
from crop_reference import crop_reference
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot.data.crops import CropSet, cut, digests
from sslmot.data.images import read_image_folder

RNG = np.random.default_rng(0)


def crop_set(n=5, size=(6, 4), clips=2, tracklets=3, seed=0):
    rng = np.random.default_rng(seed)
    return CropSet(
        images=rng.integers(0, 256, (n, *size, 3), dtype=np.uint8),
        clips=rng.integers(0, clips, n, dtype=np.int32),
        frames=rng.integers(-1, 9, n),
        tracklets=rng.integers(-1, tracklets, n),
        clip_names=tuple(f"clip {i}" for i in range(clips)),
        skipped=(f"{seed}.jpg",),
    )


def assert_same(a, b):
    for field in dataclasses.fields(CropSet):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if isinstance(x, np.ndarray):
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x, y)
        else:
            assert x == y


# The set.


def test_length_and_size():
    crops = crop_set()
    assert len(crops) == 5
    assert crops.size == (6, 4)
    assert len(crop_set(0)) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((5, 6, 4), np.uint8)}, r"images: expected \(N, h, w, 3\) uint8"),
        ({"images": np.zeros((5, 6, 4, 3), np.float32)}, r"images: .*got \(5, 6, 4, 3\) float32"),
        ({"images": np.zeros((5, 0, 4, 3), np.uint8)}, "images: expected"),
        ({"images": np.zeros((5, 3, 6, 4), np.uint8)}, "images: expected"),
        ({"images": [1, 2, 3]}, "images: .*got list"),
        ({"clips": np.zeros(4, np.int32)}, r"clips: expected \(5,\) int32, got \(4,\) int32"),
        ({"clips": np.zeros(5, np.int64)}, r"clips: expected \(5,\) int32, got \(5,\) int64"),
        ({"clips": np.array([0, 1, 2, 0, 0], np.int32)}, "clips: expected 0 to 1, got 2"),
        ({"clips": np.array([0, -1, 0, 0, 0], np.int32)}, "clips: expected 0 to 1, got -1"),
        ({"frames": np.full(5, -2)}, "frames: expected -1 to 2147483647, got -2"),
        ({"frames": np.zeros(5)}, r"frames: expected \(5,\) int64, got \(5,\) float64"),
        ({"tracklets": np.array([0, 0, -7, 0, 0])}, "tracklets: expected -1 to 2147483647, got -7"),
        ({"tracklets": [0] * 5}, "tracklets: .*got list"),
        ({"clip_names": ["a", "b"]}, "clip_names: expected a tuple of str"),
        ({"clip_names": (1, 2)}, "clip_names: expected a tuple of str"),
        ({"skipped": "a.jpg"}, "skipped: expected a tuple of str"),
    ],
)
def test_the_set_is_checked(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(crop_set(), **change)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(1, 3), st.integers(1, 4), st.integers(0, 99)),
        min_size=1,
        max_size=4,
    )
)
def test_joined_sets_keep_their_tracklets(shapes):
    sets = [crop_set(n, (3, 2), clips, tracklets, seed) for n, clips, tracklets, seed in shapes]
    joined = CropSet.concatenate(sets)
    assert len(joined) == sum(map(len, sets))
    rows = [(s, i) for s in range(len(sets)) for i in range(len(sets[s]))]
    people = {}  # tracklet of a set <-> new number
    for k, (s, i) in enumerate(rows):
        np.testing.assert_array_equal(joined.images[k], sets[s].images[i])
        assert joined.frames[k] == sets[s].frames[i]
        assert joined.clip_names[joined.clips[k]] == sets[s].clip_names[sets[s].clips[i]]
        before = sum(len(earlier.clip_names) for earlier in sets[:s])
        assert joined.clips[k] == before + sets[s].clips[i]
        if sets[s].tracklets[i] < 0:
            assert joined.tracklets[k] == -1
        else:
            number = people.setdefault((s, int(sets[s].tracklets[i])), int(joined.tracklets[k]))
            assert number == joined.tracklets[k] >= 0
    assert len(set(people.values())) == len(people)
    assert joined.skipped == tuple(line for crops in sets for line in crops.skipped)


def test_joining_one_copies_nothing():
    crops = crop_set()
    assert CropSet.concatenate(iter([crops])) is crops


def test_sets_that_cannot_be_joined():
    with pytest.raises(ValueError, match="sets: expected crops of one size, got no set"):
        CropSet.concatenate([])
    with pytest.raises(ValueError, match=r"of one size, got \[\(6, 4\), \(8, 4\)\]"):
        CropSet.concatenate([crop_set(), crop_set(size=(8, 4))])


# Its files.


@pytest.mark.parametrize("n", [0, 1, 7])
def test_saved_and_loaded(tmp_path, n):
    crops = crop_set(n)
    crops.save(tmp_path / "set")
    loaded = CropSet.load(str(tmp_path / "set"))
    assert_same(loaded, crops)
    assert isinstance(loaded.images, np.memmap)
    assert not loaded.images.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    loaded.save(tmp_path / "copy")
    assert_same(CropSet.load(tmp_path / "copy"), crops)


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "set").mkdir()
    with pytest.raises(FileExistsError, match=r"folder: expected a new one, got .*set"):
        crop_set().save(tmp_path / "set")
    assert list((tmp_path / "set").iterdir()) == []


def test_an_interrupted_save_leaves_nothing(tmp_path, monkeypatch):
    written = []

    def save(path, array, allow_pickle):
        written.append(path)
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(KeyboardInterrupt):
        crop_set().save(tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_set(tmp_path):
    with pytest.raises(FileNotFoundError):
        CropSet.load(tmp_path / "none")
    crop_set().save(tmp_path / "set")
    (tmp_path / "set" / "frames.npy").unlink()
    with pytest.raises(FileNotFoundError, match=r"frames\.npy"):
        CropSet.load(tmp_path / "set")


def truncate(folder):
    data = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(data[:-9])


def empty(folder):
    (folder / "clips.npy").write_bytes(b"")


def shorten(folder):
    np.save(folder / "tracklets.npy", np.zeros(4, np.int64))


def rename(folder):
    (folder / "names.json").write_text(json.dumps({"clip_names": ["a", "b"]}))


def garble(folder):
    (folder / "names.json").write_text("{")


def relist(folder):
    (folder / "names.json").write_text("[]")


@pytest.mark.parametrize("damage", [truncate, empty, shorten, rename, garble, relist])
def test_a_damaged_set(tmp_path, damage):
    crop_set().save(tmp_path / "set")
    damage(tmp_path / "set")
    with pytest.raises(ValueError, match=r"set: expected a saved CropSet, got "):
        CropSet.load(tmp_path / "set")


def test_nothing_is_unpickled(tmp_path):
    crop_set().save(tmp_path / "set")
    np.save(tmp_path / "set" / "clips.npy", np.array([None] * 5), allow_pickle=True)
    with pytest.raises(
        ValueError,
        match=r"expected a saved CropSet, got .*clips\.npy: expected an",
    ):
        CropSet.load(tmp_path / "set")


# Boxes as images.


def test_cut_is_the_crop_of_the_encoder_as_an_image():
    frame = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    boxes = np.array([[3, 4, 20, 38], [10.5, 2.25, 30, 33], [-5, -5, 30, 30]], np.float32)
    images = cut(frame, boxes, (16, 8))
    assert images.shape == (3, 16, 8, 3)
    assert images.dtype == np.uint8
    expected = crop_reference(frame, boxes, (16, 8), (0, 0, 0), (1, 1, 1)) * 255
    assert np.abs(images - expected.transpose(0, 2, 3, 1)).max() <= 0.5 + 1e-3


def test_cut_of_whole_pixels_changes_only_the_order_of_colours():
    frame = RNG.integers(0, 256, (12, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(cut(frame, [[1, 2, 5, 10]], (8, 4))[0], frame[2:10, 1:5, ::-1])
    assert cut(np.full((9, 9, 3), 255, np.uint8), [[0, 0, 9, 9]], (5, 7)).min() == 255


# Folders of images.


def write(path, bgr=(10, 20, 30), size=(12, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((*size, 3), bgr, np.uint8))


def test_a_folder_of_images(tmp_path):
    root = tmp_path / "people"
    write(root / "b" / "2.PNG", (1, 2, 3))
    write(root / "b" / "1.bmp", (4, 5, 6), (24, 12))
    write(root / "a.png", (7, 8, 9), (9, 5))
    write(root / "b" / "deep" / "3.webp", (100, 100, 100))
    write(root / "c" / "4.jpeg", (50, 50, 50))
    (root / "notes.txt").write_text("not an image")
    crops = read_image_folder(root, (12, 6))
    assert crops.clip_names == ("people", "people/b", "people/b/deep", "people/c")
    assert crops.clips.tolist() == [0, 1, 1, 2, 3]
    assert crops.images.shape == (5, 12, 6, 3)
    colours = crops.images.reshape(5, -1, 3)
    for i, rgb in enumerate([(9, 8, 7), (6, 5, 4), (3, 2, 1)]):
        assert (colours[i] == rgb).all()
    assert np.abs(colours[3].astype(int) - 100).max() <= 3
    assert (crops.frames == -1).all()
    assert (crops.tracklets == -1).all()
    assert crops.skipped == ()


def test_whole_frames_are_noticed(tmp_path):
    for name, size in (("1.png", (12, 24)), ("2.png", (12, 24)), ("3.png", (24, 12))):
        write(tmp_path / "shots" / name, size=size)
    with pytest.warns(UserWarning, match="shots: 2 of 3 images are wider than tall: expected one"):
        read_image_folder(tmp_path / "shots", (12, 6))


def test_unreadable_images_are_skipped_counted_and_named(tmp_path):
    for name in ("1.jpg", "3.jpg", "5.png"):
        write(tmp_path / "a" / name, size=(64, 32))
    whole = (tmp_path / "a" / "3.jpg").read_bytes()
    (tmp_path / "a" / "2.jpg").write_bytes(b"no image")
    (tmp_path / "a" / "3.jpg").write_bytes(whole[: len(whole) * 2 // 3])  # OpenCV would read it
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "4.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"3 of 5 images cannot be read.*the first is .*/a/2\.jpg"):
        crops = read_image_folder(tmp_path, (8, 4))
    assert crops.skipped == tuple(str(tmp_path / p) for p in ("a/2.jpg", "a/3.jpg", "b/4.png"))
    assert len(crops) == 2
    assert crops.clip_names == (f"{tmp_path.name}/a",)


def test_bytes_after_the_end_of_a_jpeg_are_ignored(tmp_path):
    write(tmp_path / "1.jpg", (40, 40, 40))
    with (tmp_path / "1.jpg").open("ab") as file:
        file.write(b"a camera's notes")
    assert len(read_image_folder(tmp_path, (8, 4))) == 1


def test_no_images(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"root: expected a folder of images, got .*none"):
        read_image_folder(tmp_path / "none", (8, 4))
    with pytest.raises(ValueError, match=r"expected person crops in .*, found none$"):
        read_image_folder(tmp_path, (8, 4))
    (tmp_path / "1.jpg").write_bytes(b"no image")
    with (
        pytest.warns(UserWarning, match="1 of 1 images"),
        pytest.raises(ValueError, match=r"found none \(1 images cannot be read\)"),
    ):
        read_image_folder(tmp_path, (8, 4))


def test_digests_depend_on_content_and_size():
    images = np.arange(4 * 6 * 2 * 3, dtype=np.uint8).reshape(4, 6, 2, 3)
    images[3] = images[1]
    known = digests(images)
    assert known.shape == (4,)
    assert known.dtype.itemsize == 16
    assert len(set(known.tolist())) == 3
    assert known[3] == known[1]
    assert (digests(images.reshape(4, 2, 6, 3)) != known).all()
    assert len(digests(images[:0])) == 0
