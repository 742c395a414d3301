"""Salt and pepper: what it computes, against a slow twin."""

import math

import torch
from support.comparing import distance

from colddiff import SaltAndPepper, bind_observed, improved
from colddiff.testing.reporting import last, seeded


def test_impulses_are_nested_black_or_white_and_as_many_as_asked(images) -> None:
    x = 0.2 + 0.6 * images(1, 3, 50, 40)
    op = SaltAndPepper(share=0.8)
    D = op.bind(op.draw(x, seeded(0)), like=x)
    before = torch.zeros(1, 50, 40, dtype=torch.bool)
    for t in (0.1, 0.5, 1.0):
        y = D(x, t)
        salt, pepper = (y == 1).all(dim=1), (y == 0).all(dim=1)
        hit = salt | pepper
        assert torch.equal(hit[:, None].expand_as(x), y != x)
        assert bool((before <= hit).all())
        for count, p in ((hit, 0.8 * t), (salt, 0.4 * t)):
            assert abs(float(count.sum()) - 2000 * p) < 4 * math.sqrt(2000 * p * (1 - p))
        before = hit


def test_impulses_are_seen_in_the_picture_and_undone(images) -> None:
    x = 0.2 + 0.6 * images(2, 3, 9, 8)
    op, times = SaltAndPepper(), torch.tensor([0.7, 0.4, 0.1, 0.0], dtype=torch.float64)
    x_t = op(x, 0.7, op.draw(x, seeded(0)))
    hit = x_t != x
    noticed = x_t + (1 - 2 * x_t) * hit * 0.4 / 255  # a black that is not quite black
    D = bind_observed(op, lambda x, t: x, noticed, times[0])
    assert torch.equal(D(x, 0.7), noticed)
    restored = last(improved(lambda x, t: torch.full_like(x, 0.5), D, noticed, times)).x
    assert torch.equal(restored[~hit], x[~hit])
    assert distance(restored[hit], torch.full_like(restored[hit], 0.5)) < 1e-12


def test_what_is_black_in_the_picture_is_taken_for_hit_unless_a_mask_tells(images) -> None:
    x = 0.2 + 0.6 * images(1, 3, 4, 4)
    x[..., 0, 0] = 0
    x[:, 0, 1, 1] = 0  # in one channel only
    op, t = SaltAndPepper(), torch.tensor([0.5], dtype=torch.float64)
    ours = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    ours[..., 2, 2:] = True
    for mask, expected in ((None, [[0, 0]]), (ours, [[2, 2], [2, 3]])):
        D = op.bind(op.observe(x, t, mask), like=x)
        replaced = (D(torch.full_like(x, 0.9), 0.5) != 0.9).all(dim=1)[0]
        assert replaced.nonzero().tolist() == expected
        assert torch.equal(D(x, 0.5), x)


def test_impulses_on_every_pixel_leave_nothing_of_the_picture(images) -> None:
    op = SaltAndPepper(share=1)
    params = op.draw(images(1, 3, 20, 20), seeded(0))
    ends = [op(images(1, 3, 20, 20, seed=seed), 1.0, params) for seed in (0, 1)]
    assert torch.equal(*ends)
    assert op.prior == "constant" and SaltAndPepper().prior is None
