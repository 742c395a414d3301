"""Radial: what it computes, against a slow twin."""

import pytest
import torch
from support.comparing import distance
from support.operators import drawn

from colddiff.degradations.families import radial
from colddiff.degradations.operators.colour_mask import ColourMask
from colddiff.degradations.operators.gaussian_mask import GaussianMask


@pytest.mark.parametrize(
    ("op", "other"),
    [
        (ColourMask(num_steps=11, kernel_std=0.3), ColourMask(num_steps=11, kernel_std=0.3, low=0.2)),
        (
            ColourMask(num_steps=11, kernel_std=0.3, reverse=False),
            ColourMask(num_steps=11, kernel_std=0.3, reverse=False, low=0.2),
        ),
        (GaussianMask(num_steps=11), GaussianMask(num_steps=11, fill=(0.5, 0.5, 0.5))),
    ],
    ids=["inwards", "outwards", "anywhere"],
)
def test_a_hole_without_a_table_is_the_same(op, other, images, monkeypatch) -> None:
    x, t = images(5, 3, 10, 7), torch.tensor([0.0, 0.013, 0.5, 7 / 11, 1.0])
    params = drawn(op, x)
    expected = op(x, t, params)
    monkeypatch.setattr(radial, "LARGEST_TABLE", 0)  # the other is the same to D, and not in the cache
    assert "gone" not in other.tables(x) and "gone" in op.bind(params, like=x).tables
    assert distance(other(x, t, params), expected) < 1e-12


@pytest.mark.parametrize("largest", [0, radial.LARGEST_TABLE])
def test_a_graph_may_hold_the_tables_of_a_hole_or_do_without(largest, images, monkeypatch) -> None:
    op, x, t = ColourMask(num_steps=3, kernel_std=0.3), images(2, 3, 5, 4), torch.tensor([0.3, 1.0])
    params = drawn(op, x)
    expected = op(x, t, params)
    monkeypatch.setattr(radial, "LARGEST_TABLE", largest)
    torch._dynamo.reset()
    compiled = torch.compile(lambda x, t: op(x, t, params), fullgraph=True, backend="eager")
    assert distance(compiled(x, t), expected) < 1e-12
    torch._dynamo.reset()


def test_the_paper_s_750_masks_at_128_pixels_fit_a_table(images) -> None:
    like = images(1, 1, 128, 128, dtype=torch.float32)
    assert ColourMask().tables(like)["gone"].shape == (751, 1621)
    moving = GaussianMask(num_steps=1).tables(like)
    assert 751 * len(moving["radii"]) < radial.LARGEST_TABLE < 751 * (128**2 + 128**2 + 1)


def test_a_pixel_finds_its_distance_from_every_centre() -> None:
    like = torch.zeros(1, 1, 4, 6)
    tables = GaussianMask(num_steps=1).tables(like)
    rows, columns = torch.arange(4).view(1, 4, 1), torch.arange(6).view(1, 1, 6)
    for center in [(r, c) for r in range(-1, 4) for c in range(-1, 6)] + [(90, -90), (-90, 90)]:
        place = torch.tensor([center])
        r2 = tables["radii"][radial.ranks_around(place, like, tables["ranks"])][:, 0]
        expected = (rows - center[0]).abs().clamp(max=4) ** 2 + (columns - center[1]).abs().clamp(max=6) ** 2
        assert torch.equal(r2.long(), expected), center
