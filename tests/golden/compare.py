"""Compare the identities of this checkout with those of another commit, on one machine.

    python tests/golden/compare.py COMMIT

The commit is checked out and built in build/compare, in a new environment that uses all other
packages of this one. Each checkout runs its own scenes, or the scenes of this checkout if the
commit has none. Scenes in both are compared: the recorded scenes, scenes of all available clips,
and scenes of the default encoder. This checkout computes the encoder's features for both, except
for a short part, in which each computes its own. The exit status is 1 if an identity differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "build" / "compare"
GOLDEN = Path("tests") / "golden"


def run(*command: str | Path, **how: Any) -> str:
    """Run a command, and return its output if it is captured."""
    done = subprocess.run([str(part) for part in command], check=True, text=True, **how)
    return done.stdout or ""


def build(folder: Path) -> Path:
    """Build a checkout, and return the Python of its environment."""
    environment = WORK / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(python, "-c", where, stdout=subprocess.PIPE).strip())
    # Paths in a .pth file are searched last, and .pth files in them are not read. So sslmot is the
    # package built here.
    borrowed = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    pip = (sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check")
    options = ("--quiet", "--no-deps", "--no-build-isolation")
    tools = os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"]))
    run(
        *(*pip, "install", *options, folder),
        *("-C", "cmake.define.CUDA=OFF", "-C", f"build-dir={WORK / 'build'}"),
        env={**os.environ, "PATH": tools},
    )
    return python


def record(python: str | Path, scenes: Path, folder: Path) -> None:
    """Run the scenes of a checkout."""
    data = os.environ.get("SSLMOT_DATA", ROOT / ".." / "shared" / "data")
    run(
        *(python, "-m", "golden", "--record", folder, "--encoded", WORK / "features"),
        # Not in the root of the checkout, where Python would import the sources.
        cwd=scenes.parent,
        env={**os.environ, "SSLMOT_DATA": str(Path(data).resolve()), "OMP_NUM_THREADS": "1"},
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("commit", help="which to compare with")
    name = parser.parse_args().commit
    verify = ("git", "rev-parse", "--quiet", "--verify", f"{name}^{{commit}}")
    found = subprocess.run(verify, cwd=ROOT, text=True, capture_output=True, check=False)
    if found.returncode:
        parser.error(f"commit: expected one of this repository, got {name!r}")
    commit, base = found.stdout.strip(), WORK / "base"
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    # With force, since an interrupted run may have left the worktree.
    run("git", "worktree", "add", "--quiet", "--force", "--detach", base, commit, cwd=ROOT)
    try:
        python = build(base)
        scenes = base / GOLDEN
        if not (scenes / "__main__.py").is_file():
            print(f"{name} has no {GOLDEN}: both run the scenes of this checkout")
            scenes = WORK / "scenes" / "golden"
            shutil.copytree(ROOT / GOLDEN, scenes)
        print("== this checkout", flush=True)
        record(sys.executable, ROOT / GOLDEN, WORK / "now")
        print(f"== {name}", flush=True)
        record(python, scenes, WORK / "before")
    finally:
        run("git", "worktree", "remove", "--force", base, cwd=ROOT)
    return report(name)


def report(name: str) -> int:
    """Print the first difference of each common scene. Return 1 if there is a difference."""
    sys.path.insert(0, str(ROOT / "tests"))
    from golden.recording import Recording

    before, now = (Recording.load(WORK / part) for part in ("before", "now"))
    both = sorted(set(before.scenes) & set(now.scenes))
    for title, some in (("only here", now), (f"only in {name}", before)):
        only = sorted(set(some.scenes) - set(both))
        if only:
            print(f"{title}, not compared: {', '.join(only)}")
    if not both:
        print(f"expected common scenes, {name} has none of them")
        return 1
    differences = before.differences(now, both)
    print("\n".join(differences))
    print(f"{len(both)} scenes compared with {name}: {len(differences)} differ")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
