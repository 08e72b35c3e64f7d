"""The folder of a run."""

from __future__ import annotations

from pathlib import Path


def check_output(output: Path, command: str = "sslmot train") -> None:
    """Refuse the folder of a new run that holds something.

    Args:
        output: The folder.
        command: What goes on with a run of its kind, by ``--resume``.

    Raises:
        FileExistsError: It does.
    """
    if output.exists() and any(output.iterdir()):
        goes_on = f" ({command} --resume {output} goes on with it)"
        raise FileExistsError(
            f"output: expected a new or empty folder, got {output}"
            + (goes_on if (output / "config.yaml").exists() else "")
        )
