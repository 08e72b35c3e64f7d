"""Files and folders are there whole or not at all."""

import os

import pytest

from sslmot import files


def test_a_file_is_replaced_when_the_new_one_is_complete(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write(path, b"old")

    def full(_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space left"):
            files.write(path, b"new")
    assert path.read_bytes() == b"old"
    files.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def fill(path, error=None):
    with files.new_folder(path) as part:
        (part / "one").write_text("1")
        assert not (path / "one").exists()
        if error:
            raise error


def test_a_folder_has_its_name_when_all_is_in_it(tmp_path):
    path = tmp_path / "above" / "folder"
    with pytest.raises(KeyboardInterrupt):
        fill(path, KeyboardInterrupt())
    assert list((tmp_path / "above").iterdir()) == []
    path.mkdir()  # an empty one is as good as none
    fill(path)
    assert [entry.name for entry in path.iterdir()] == ["one"]
    with pytest.raises(FileExistsError, match="expected a new or empty folder, got"):
        fill(path)
