"""Market-1501: file names, the held-out part, images that are left out."""

import cv2
import numpy as np
import pytest

from sslmot.data.market1501 import is_market1501, read_market1501


def write(folder, name, colour=0):
    folder.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(folder / name), np.full((8, 4, 3), colour, np.uint8))


@pytest.fixture
def root(tmp_path):
    """Identities 2, 5, 8, ... 38 (13 of them), two crops each; junk and distractors."""
    folder = tmp_path / "Market" / "bounding_box_train"
    for i in range(2, 41, 3):
        write(folder, f"{i:04d}_c1s2_{1000 + i:06d}_01.jpg", i)
        write(folder, f"{i:04d}_c6s1_{2000 + i:06d}_03.jpg", i)
    write(folder, "-1_c1s1_000401_03.jpg", 255)
    write(folder, "0000_c2s1_000151_01.jpg", 255)
    write(folder, "0001.jpg", 255)
    (folder / "Thumbs.db").write_text("")
    return folder.parent


def test_names_contain_identity_camera_sequence_and_frame(root):
    market = read_market1501(root, (8, 4), "all")
    assert len(market.crops) == 26
    # Sorted by clip and time, not by identity.
    assert market.identities.tolist() == [*range(2, 41, 3), *range(2, 41, 3)]
    assert market.identities.dtype == np.int64
    assert market.cameras.tolist() == [1] * 13 + [6] * 13
    assert market.cameras.dtype == np.int32
    crops = market.crops
    assert crops.clip_names == ("c1s2", "c6s1")
    assert crops.clips.tolist() == [0] * 13 + [1] * 13
    assert crops.frames.tolist()[:2] == [1002, 1005]
    assert crops.frames.tolist()[13:15] == [2002, 2005]
    assert (crops.tracklets == -1).all()
    means = crops.images.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, market.identities, atol=2)


def test_every_sixth_identity_is_held_out(root):
    held_out = read_market1501(root, (8, 4), "held-out")
    train = read_market1501(root, (8, 4), "train")
    assert np.unique(held_out.identities).tolist() == [2, 20, 38]
    assert np.unique(train.identities).tolist() == [
        i for i in range(2, 41, 3) if i not in (2, 20, 38)
    ]
    assert len(held_out.crops) + len(train.crops) == 26


def test_both_folders_are_the_data_set(root):
    a, b = (read_market1501(p, (8, 4)) for p in (root, root / "bounding_box_train"))
    np.testing.assert_array_equal(a.crops.images, b.crops.images)
    np.testing.assert_array_equal(a.identities, b.identities)
    assert is_market1501(root)
    assert is_market1501(root / "bounding_box_train")
    assert not is_market1501(root.parent)
    assert not is_market1501(root / "none")


def test_labels_still_match_after_an_unreadable_image(root):
    folder = root / "bounding_box_train"
    (folder / "0005_c1s2_001005_01.jpg").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"1 of 20 images .* first is .*0005_c1s2_001005_01\.jpg"):
        market = read_market1501(root, (8, 4))
    assert market.crops.skipped == (str(folder / "0005_c1s2_001005_01.jpg"),)
    assert len(market.crops) == len(market.identities) == len(market.cameras) == 19
    means = market.crops.images.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, market.identities, atol=2)
    assert market.cameras.tolist() == [1] * 9 + [6] * 10


def test_missing_data(tmp_path, root):
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"images of Market-1501 \(train\).*found none"):
            read_market1501(missing, (8, 4))
    with pytest.raises(ValueError, match="part: expected train, held-out or all, got 'test'"):
        read_market1501(root, (8, 4), "test")


@pytest.mark.slow
def test_the_real_data_set(data_root):
    folder = data_root / "Market-1501"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    held_out = read_market1501(folder, (16, 8), "held-out")
    train = read_market1501(folder, (16, 8))
    assert len(held_out.crops) == 1947
    assert len(train.crops) == 11239 - 1947
    held, learned = (set(part.identities.tolist()) for part in (held_out, train))
    assert len(held) == 100
    assert len(learned) == 551
    assert not held & learned
    assert min(held) == 2
    assert set(held_out.cameras.tolist()) == {1, 2, 3, 4, 5, 6}
    assert all(name[0] == "c" and name[2] == "s" for name in train.crops.clip_names)
    assert train.crops.frames.min() >= 1
    assert train.crops.skipped == ()
    # Real images: neighbouring pixels are similar, different images are not.
    images = held_out.crops.images.astype(float)
    assert np.abs(np.diff(images, axis=1)).mean() < 25
    assert images.mean(axis=(1, 2, 3)).std() > 5
