"""Nothing that was saved is lost: torn checkpoints, full disks, losses that are not finite."""

import pytest
import tiny
import torch
from torch import nn

from colddiff.snapshots import save_snapshot, snapshots
from colddiff.training import train


def test_a_torn_snapshot_is_skipped_and_cleared_away(tmp_path, signal_after):
    config = tiny.config(tmp_path / "run", checkpoint_every=2)
    signal_after(4, signal.SIGINT)
    with pytest.raises(Interrupted):
        train(config, progress=False)
    folder = tmp_path / "run" / "checkpoints"
    (folder / "step-00000005").mkdir()
    (folder / "step-00000005" / "model.safetensors").write_bytes(b"half")
    (folder / ".step-00000009.part").mkdir()
    assert snapshots(tmp_path / "run")[-1].name == "step-00000004"
    train(config, resume=True, progress=False)
    assert [s.name for s in snapshots(tmp_path / "run")] == ["step-00000004", "step-00000006"]
    assert not [*folder.glob(".*")]


def test_a_snapshot_that_cannot_be_written_leaves_nothing(tmp_path):
    net = tiny.NET.build()
    optimizer = torch.optim.Adam(net.parameters())
    with pytest.raises(ValueError, match="JSON compliant"):
        save_snapshot(tmp_path, net, net, optimizer, {"step": 1, "seconds": float("nan")})
    assert not [*(tmp_path / "checkpoints").iterdir()]


def test_only_the_last_snapshots_are_kept(tmp_path):
    train(tiny.config(tmp_path / "run", checkpoint_every=1), progress=False)
    kept = [f"step-{k:08d}" for k in range(5, 7)]
    assert [s.name for s in snapshots(tmp_path / "run")] == kept


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    with pytest.raises(
        RuntimeError, match=r"not finite for 3 steps up to step 3, and there is no checkpoint.*smaller lr"
    ):
        train(tiny.config(tmp_path / "run", restorer=None, steps=3), net=Broken(), progress=False)
    assert not snapshots(tmp_path / "run")


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(float("nan")))

    def forward(self, x, t):
        return x * self.scale
