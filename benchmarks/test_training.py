"""Training with the default recipe: images per second, and the share of time waiting for data.

    pytest benchmarks/test_training.py

It uses all cores, or the GPU. The crops are a part of Market-1501, in ``../shared/data`` or the
folder of ``SSLMOT_DATA``. The second of two epochs is reported.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

IMAGES = 600
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def crops(tmp_path):
    root = Path(os.environ.get("SSLMOT_DATA", ROOT / ".." / "shared" / "data"))
    market = root.resolve() / "Market-1501" / "bounding_box_train"
    if not market.is_dir():
        pytest.skip(f"no {market}; set SSLMOT_DATA")
    folder = tmp_path / "market"
    folder.mkdir()
    for path in sorted(market.glob("*.jpg"))[:IMAGES]:  # all images of the first people
        (folder / path.name).symlink_to(path)
    from sslmot.data.sources import read_sources

    return read_sources([folder], (128, 64))


def test_training(benchmark, crops, all_cores, capsys, tmp_path):
    reason = "training needs: pip install sslmot[train]"
    trainer = pytest.importorskip("sslmot.training.trainer", reason=reason)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from sslmot.training.config import TrainConfig

    run = tmp_path / "run"
    config = TrainConfig(epochs=2)
    benchmark.pedantic(trainer.train, args=(crops, config, run), rounds=1)

    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    speed, waiting = (
        events.Scalars(f"speed/{name}")[-1].value
        for name in ("images_per_second", "waiting_for_data")
    )
    benchmark.extra_info.update(images_per_second=round(speed), waiting_for_data=round(waiting, 3))
    with capsys.disabled():
        print(
            f"\n{trainer.pick_device(None)}, {config.backbone}, batches of {config.batch_size}: ",
            end="",
        )
        print(f"{speed:.0f} images/s, {waiting:.1%} of the time waiting for data")

    loss = [event.value for event in events.Scalars("loss")]
    assert loss[-1] < loss[0]
    assert (run / "encoder.safetensors").is_file()
