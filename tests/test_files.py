"""Files and folders are written atomically."""

import errno
import fcntl
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from full_disk import full_disk

from sslmot import files, tensors


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


def test_a_folder_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "above" / "folder"
    with pytest.raises(KeyboardInterrupt):
        fill(path, KeyboardInterrupt())
    assert list((tmp_path / "above").iterdir()) == []
    path.mkdir()  # an empty folder is allowed
    fill(path)
    assert [entry.name for entry in path.iterdir()] == ["one"]
    with pytest.raises(FileExistsError, match="expected a new or empty folder, got"):
        fill(path)


def test_files_of_a_killed_writer_are_removed(tmp_path):
    """The next writer of the same target removes them, the writer of another target does not."""
    code = (
        "import os, sys; from sslmot import files\n"
        "with files.new_folder(sys.argv[1]) as part:\n"
        "    (part / 'one').write_text('1')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "target"
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -9
    (left,) = tmp_path.iterdir()
    files.write(tmp_path / "other", b"")
    assert left.exists()
    fill(path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "other", path]


def test_parallel_writers_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "target"
    with files.replacing(path) as slow:
        slow.write("slow")
        files.write(path, b"fast")
        with files.new_folder(tmp_path / "folder") as part:
            (part / "one").write_text("1")
        assert path.read_bytes() == b"fast"
    assert path.read_bytes() == b"slow"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "folder", path]


def test_a_name_of_maximum_length(tmp_path):
    path = tmp_path / ("a" * 255)
    files.write(path, b"data")
    assert path.read_bytes() == b"data"


def test_files_are_written_without_locks(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    files.write(tmp_path / "file", b"data")
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def lines(path):
    with files.replacing(path) as file:
        file.write("x" * 10_000)


def array(path):
    with files.new_folder(path) as part:
        np.save(part / "array.npy", np.zeros(10_000))


def weights(path):
    tensors.write(path, {"a": torch.zeros(10_000)}, {})


@pytest.mark.parametrize("write", [lambda p: files.write(p, bytes(9999)), lines, array, weights])
def test_a_full_disk_names_the_path(tmp_path, write):
    path = tmp_path / "target"
    with full_disk(), pytest.raises(OSError, match=re.escape(str(path))):
        write(path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_nothing_beside_the_target(tmp_path, monkeypatch):
    real = os.open

    def full(path, *rest, **more):
        if str(path).endswith("lock"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, *rest, **more)

    monkeypatch.setattr(files.os, "open", full)
    with pytest.raises(OSError, match="No space left") as refused:
        files.write(tmp_path / "a", b"1")
    assert refused.value.filename == str(tmp_path / "a")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_errors_of_other_files_do_not_name_the_target(tmp_path):
    with pytest.raises(ConnectionResetError) as refused, files.replacing(tmp_path / "a"):
        raise ConnectionResetError(errno.ECONNRESET, "reset by peer")
    assert refused.value.filename is None
