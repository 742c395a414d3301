"""A picture in tiles is restored as it would be whole, in memory that does not grow with it."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from support import tiny
from torch import nn
from torch.nn import functional as F

from colddiff import GaussianBlur
from colddiff.models import tiling
from colddiff.models.tiling import GRID, OVERLAP, TILE, check_memory, spans, tiled, window
from colddiff.utils import memory


def local(radius, channels=2):
    """A network that sees `radius` pixels around each, nonlinear, edges repeated; and the sizes that it was asked."""
    seen = []
    weight = torch.rand(channels, 1, 2 * radius + 1, 2 * radius + 1, generator=torch.Generator().manual_seed(0)) - 0.3

    def R(x, t):
        seen.append(tuple(x.shape))
        padded = F.pad(x, [radius] * 4, mode="replicate")
        return torch.tanh(F.conv2d(padded, weight.to(x.dtype), groups=channels)) + t.reshape(-1, 1, 1, 1)

    return R, seen


SIZES = [16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 79, 95, 97, 113, 128, 131, 190]
TIMES = torch.tensor([0.3, 0.9], dtype=torch.float64)


@pytest.mark.parametrize("side", SIZES)
@pytest.mark.parametrize("overlap", [8, 16])
def test_a_local_network_gives_in_tiles_what_it_gives_at_once(side, overlap, images):
    R, seen = local(overlap // 4)
    x = images(2, 2, side, SIZES[(SIZES.index(side) * 5 + 3) % len(SIZES)])
    whole = R(x, TIMES)
    seen.clear()
    assert torch.allclose(tiled(R, 32, overlap)(x, TIMES), whole, atol=1e-12)
    assert all(max(shape[2:]) < 32 + GRID for shape in seen)


def test_what_a_network_sees_too_far_shows_only_where_tiles_meet(images):
    R, _ = local(6)
    x = images(1, 2, 64, 64)
    difference = (tiled(R, 32, 8)(x, TIMES[:1]) - R(x, TIMES[:1])).abs().amax(dim=(0, 1))
    assert 0 < float(difference.max()) < 1
    assert float(difference[:10, :10].max()) < 1e-12


def test_every_pixel_is_covered_by_tiles_that_begin_on_the_grid():
    for tile, side in itertools.product((16, 32, 48, 256), range(1, 700, 7)):
        for overlap in {0, 1, 3, tile // 4, tile // 2, tile - 1}:
            found = spans(side, tile, overlap)
            assert found[0].start == 0 and found[-1].stop == side
            assert all(s.start % GRID == 0 and s.stop <= side and s.stop - s.start < tile + GRID for s in found)
            assert all(
                a.start < b.start and a.stop - b.start >= min(overlap, side) for a, b in itertools.pairwise(found)
            )
            if side > tile:
                assert all(s.stop - s.start >= tile for s in found)


def test_every_pixel_has_a_weight_and_none_where_a_tile_is_cut():
    for overlap, side in itertools.product((0, 1, 2, 3, 4, 8, 15), (33, 64, 100)):
        total = torch.zeros(side)
        for span in spans(side, 32, overlap):
            weight = window(span, side, overlap, total)
            assert len(weight) == span.stop - span.start and float(weight.min()) >= 0 and float(weight.max()) <= 1
            if span.start > 0:
                assert not weight[: overlap // 4].any()
            if span.stop < side:
                assert not weight[len(weight) - overlap // 4 :].any()
            total[span] += weight
        assert float(total.min()) > 0, (overlap, side)


@pytest.mark.parametrize(
    ("height", "width", "calls"),
    [(64, 64, 1), (64, 79, 1), (64, 80, 2), (80, 80, 4), (10, 200, 4), (112, 112, 4), (113, 64, 3), (500, 600, 143)],
)
def test_as_many_calls_are_made_as_tiles_are_needed(height, width, calls, images):
    R, seen = local(1)
    tiled(R, 64)(images(1, 2, height, width), TIMES[:1])
    assert len(seen) == calls


def test_a_picture_no_larger_than_a_tile_is_not_touched():
    x = torch.rand(1, 1, 32, 20)
    seen = []
    tiled(lambda x, t: seen.append(x) or x, 32)(x, TIMES[:1])
    assert len(seen) == 1 and seen[0] is x


def test_dtype_and_batch_are_kept(images):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x = images(2, 3, 40, 33, dtype=dtype)
        y = tiled(lambda x, t: x, 16)(x, TIMES)
        assert y.dtype == dtype and y.shape == x.shape and torch.allclose(y, x, atol=2e-2)


@pytest.mark.parametrize(
    ("tile", "overlap"), [(0, None), (-16, None), (100, None), (17, 2), (32, 32), (32, 40), (32, -1)]
)
def test_a_tile_is_a_multiple_of_the_grid_and_larger_than_its_overlap(tile, overlap):
    with pytest.raises(ValueError, match=f"must be .*{tile}"):
        tiled(lambda x, t: x, tile, overlap)


def test_the_overlap_is_a_quarter_of_small_tiles():
    seen = []
    for tile in (16, 64, TILE):
        original, seen[:] = spans, []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                tiling, "spans", lambda side, t, overlap, f=original: seen.append(overlap) or f(side, t, overlap)
            )
            tiled(lambda x, t: x, tile)(torch.zeros(1, 1, tile + 1, 1), TIMES[:1])
        assert seen[0] == min(OVERLAP, tile // 4)


# --- runs ------------------------------------------------------------------------------------------------------------


class Counting(nn.Module):
    """Leaves pictures as they are, and notes their sizes."""

    def __init__(self):
        super().__init__()
        self.unused, self.seen = nn.Parameter(torch.zeros(())), []

    def forward(self, x, t):
        self.seen.append(tuple(x.shape[2:]))
        return x


def test_a_run_tiles_the_network_and_nothing_else(images):
    run = tiny.run_of(Counting(), GaussianBlur(sigma_max=2.0))
    x = images(1, 1, 40, 70, dtype=torch.float32)
    whole = run.restore(x, steps=2, tile=None)
    assert run.net.seen == [(40, 70)] * 2
    run.net.seen.clear()
    assert torch.allclose(run.restore(x, steps=2, tile=32), whole, atol=1e-5)
    assert len(run.net.seen) == 2 * 3
    run.net.seen.clear()
    run.restore(x, steps=1)
    assert run.net.seen == [(40, 70)], "smaller than a tile"
    wide = images(1, 1, 2, TILE + GRID, dtype=torch.float32)
    for tile, calls in ((TILE, 2), (None, 1)):
        run.net.seen.clear()
        run.restore(wide, steps=1, tile=tile)
        assert len(run.net.seen) == calls


def test_an_unet_restores_in_tiles_nearly_what_it_restores_at_once(images):
    torch.manual_seed(0)
    spec = tiny.NET.from_config(tiny.NET.to_config() | {"attention_levels": 0})
    run = tiny.run_of(spec.build(), GaussianBlur(sigma_max=2.0))
    for p in run.net.parameters():
        p.data += 0.05 * torch.randn_like(p)
    x = images(1, 1, 100, 60, dtype=torch.float32)
    whole, parts = (run.restore(x, sampler="one_shot", tile=tile) for tile in (None, 48))
    assert not torch.allclose(whole, x, atol=1e-2)
    assert float((whole - parts).abs().mean()) < 0.02


# --- memory ----------------------------------------------------------------------------------------------------------


def with_free(monkeypatch, free):
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=free))


def test_too_large_a_picture_is_told_before_the_work(monkeypatch, images):
    run = tiny.run_of(Counting(), GaussianBlur())
    x = images(2, 1, 300, 200, dtype=torch.float32)
    needed = tiling.COPIES * 4 * x.numel() + tiling.ACTIVATIONS * 2 * 300 * 200
    with_free(monkeypatch, needed - 1)
    with pytest.raises(
        ValueError, match=r"restoring 2 images of 200 x 300 px takes about 0\.1 GiB .*: make them smaller"
    ):
        run.restore(x)
    assert not run.net.seen
    with_free(monkeypatch, needed)
    assert run.restore(x, steps=1).shape == x.shape


def test_the_limit_of_a_control_group_counts_too(monkeypatch, tmp_path, images):
    with_free(monkeypatch, 2**40)
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    assert memory.free_memory() == 2**40, "no group"
    (tmp_path / "memory.current").write_text("600\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() == 2**40, "a group without a limit"
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.free_memory() == 400


def test_the_network_is_given_no_more_pixels_at_once_than_its_memory_allows(monkeypatch, images):
    monkeypatch.setattr(tiling, "AT_ONCE", 3 * 40 * 30)
    sizes = []

    def R(x, t):
        sizes.append(len(x))
        return x * t.reshape(-1, 1, 1, 1)

    x, t = images(8, 1, 40, 30), torch.linspace(0, 1, 8, dtype=torch.float64)
    assert torch.allclose(tiled(R)(x, t), x * t.reshape(-1, 1, 1, 1)) and sizes == [3, 3, 2]


def test_the_memory_that_is_asked_for_is_told_in_gibibytes(monkeypatch):
    with_free(monkeypatch, 2**31)
    with pytest.raises(ValueError, match=r"takes about 13\.4 GiB of memory and 2\.0 GiB is free"):
        check_memory(torch.empty(1, 3, 10_000, 1, device="meta").expand(1, 3, 10_000, 7_700))
    check_memory(torch.empty(1, 3, 100, 100))
