"""What was measured is kept, whatever a restorer says."""

import pytest
import torch
from support import tiny
from torch import Tensor, nn

import colddiff as cd
from colddiff import SAMPLERS, viz
from colddiff.apps.cli import main
from colddiff.degradations.base import TOLERANCE
from colddiff.samplers.consistency import EXACT, READ_OFF, ROUNDING, consistent, consistently
from colddiff.samplers.cuda_graph import captured
from colddiff.samplers.time_grid import default_grid
from colddiff.samplers.unknown_params import restore
from colddiff.testing.reporting import last, seeded

CALLS = ["one_shot", "naive", "improved", "heun", "multistep"]
KEPT = [
    cd.PixelMask(), cd.GaussianMask(num_steps=10), cd.ColourMask(num_steps=10), cd.SaltAndPepper(), cd.Fade(),
    cd.Pixelate(), cd.Pixelate(largest=4), cd.Desaturate(), cd.Desaturate(weights=(1 / 3,) * 3, num_steps=20),
]  # fmt: skip


@pytest.fixture(scope="module")
def photos() -> Tensor:
    return cd.load_data("photos", size=24)[:4]


def wrong(x: Tensor, t: Tensor) -> Tensor:
    return x.flip(3) * 0.6 + 0.2


def walked(op, x0, start, sampler):
    """The end of a consistent walk, the picture that it began with, and D."""
    D = op.bind(op.draw(x0, seeded(0)), like=x0)
    times = default_grid(6, start, op.level_times())
    y = D(x0, times[0])
    return last(consistent(SAMPLERS[sampler])(wrong, D, y, times)).x, y, lambda x: D(x, times[0])


@pytest.mark.parametrize("sampler", CALLS)
@pytest.mark.parametrize("start", [0.3, 0.7, 1.0])
@pytest.mark.parametrize("op", KEPT, ids=str)
def test_the_picture_remains_what_it_was_damaged_to(op, start, sampler, photos):
    found, y, D = walked(op, photos, start, sampler)
    assert float((D(found) - y).abs().max()) <= 1e-6


def test_without_it_direct_and_naive_restores_lose_what_was_known(photos):
    for sampler in ("one_shot", "naive"):
        op = cd.Pixelate(largest=4)
        D = op.bind(like=photos)
        y = D(photos, 1.0)
        found = last(SAMPLERS[sampler](wrong, D, y, cd.time_grid(6))).x
        assert float((D(found, 1.0) - y).abs().max()) > 0.05


def test_every_answer_is_given_what_the_picture_tells_and_not_the_last_alone(photos):
    op, answers = cd.Pixelate(largest=4), []
    D = op.bind(like=photos)
    y = D(photos, 1.0)
    for state in consistent(SAMPLERS["naive"])(wrong, D, y, cd.time_grid(4)):
        answers.append(float((D(state.x0, 1.0) - y).abs().max()))
    assert len(answers) == 4 and max(answers) < 1e-6


def test_known_pixels_are_those_of_the_picture_to_the_last_bit(photos):
    op = cd.PixelMask()
    params = op.draw(photos, seeded(0))
    D = op.bind(params, like=photos)
    found = last(consistent(SAMPLERS["naive"])(wrong, D, D(photos, 0.5), cd.time_grid(6, 0.5))).x
    seen = (params["rank"] >= 0.5).expand_as(photos)
    assert torch.equal(found[seen], photos[seen])
    assert not torch.allclose(found[~seen], photos[~seen], atol=0.01)


def test_low_frequencies_of_a_blur_are_kept_and_high_ones_are_the_restorers(photos):
    op, other = cd.GaussianBlur(sigma_max=4.0), torch.rand(photos.shape, generator=seeded(1))
    D = op.bind(like=photos)
    found = last(consistent(SAMPLERS["one_shot"])(lambda x, t: other, D, D(photos, 1.0), cd.time_grid(1))).x
    (_, rows), (_, columns) = op.bases(photos)
    off = (rows @ (found - photos).double() @ columns.mT).abs().amax(dim=(0, 1))
    assert float(off[:4, :4].max()) < 1e-3 < 0.02 < float(off[-4:, -4:].max())


def test_of_eight_bits_nothing_is_taken_that_rounding_has_lost(photos):
    """At 0.97 what is left of the colour is 3%: a level of 255 would be 33 of them."""
    op, start = cd.Desaturate(), 0.97
    D, times = op.bind(like=photos), cd.time_grid(1, start)
    y = (D(photos, start) * 255).round() / 255

    def off(noise):
        return float(
            (last(consistent(SAMPLERS["one_shot"], noise)(lambda x, t: photos, D, y, times)).x - photos).abs().max()
        )

    assert off(EXACT) > 0.03
    assert off(None) == off(ROUNDING) < 0.005


@pytest.mark.parametrize("op", [cd.GaussianBlur(sigma_max=6.0), cd.Desaturate(), cd.Pixelate(), cd.Fade()], ids=str)
def test_pictures_that_are_nearly_of_eight_bits_are_not_taken_for_exact(op, photos):
    """Resized ones, say, of which float32 says more than there is to know."""
    run, start = tiny.run_of(tiny.Same(), op, (3, 24, 24)), 0.5
    levels = (op(photos, start) * 255).round() / 255
    for y in (levels, 0.999 * levels, levels.roll(1, 3).lerp(levels, 0.5), levels.half().float()):
        plain, kept = (run.walk(y, start=start, sampler="one_shot", consistent=flag) for flag in (False, True))
        off, before = (float((last(walk).x - photos).square().mean().sqrt()) for walk in (kept, plain))
        assert off < before + 0.02
    D = op.bind(like=photos)
    wild = last(consistent(SAMPLERS["one_shot"])(lambda x, t: x, D, 0.999 * levels, cd.time_grid(1, start))).x
    assert float(wild.abs().max()) < 3


def test_whether_a_picture_is_exact_is_its_own_affair(photos):
    op = cd.GaussianBlur(sigma_max=4.0)
    exact = op(photos[:2], 0.5)
    rounded = (op(photos[2:], 0.5) * 255).round() / 255
    together = torch.cat([exact, rounded])
    parts = [
        last(consistent(SAMPLERS["one_shot"])(lambda x, t: x, op.bind(like=y), y, cd.time_grid(1, 0.5))).x
        for y in (together, exact, rounded)
    ]
    assert torch.allclose(parts[0], torch.cat(parts[1:]), atol=1e-5)


def test_of_eight_bits_d_of_the_end_is_the_picture_but_for_what_is_too_faint(photos):
    """A gain of at most 0.06, of what may be off by 0.5; and rounding itself, where it is out of the range of D."""
    for op, start in ((cd.Desaturate(), 0.97), (cd.Fade(), 0.5), (cd.Pixelate(), 0.55), (cd.GaussianBlur(), 0.2)):
        D = op.bind(like=photos)
        y = (D(photos, start) * 255).round() / 255
        found = last(consistent(SAMPLERS["naive"])(wrong, D, y, cd.time_grid(4, start))).x
        assert float((D(found, start) - y).abs().max()) < 0.06


def test_an_image_that_is_consistent_stays_as_it_is(photos):
    for op in KEPT:
        params = op.draw(photos, seeded(0))
        D = op.bind(params, like=photos)
        y = D(photos, 0.6)
        found = last(consistent(SAMPLERS["naive"])(lambda x, t, x0=photos: x0, D, y, cd.time_grid(1, 0.6))).x
        assert float((found - photos).abs().max()) < 2 * TOLERANCE, op


def test_what_a_sampler_needs_is_needed_by_its_consistent_form():
    assert consistent(SAMPLERS["improved"]).differences and consistent(SAMPLERS["estimated"]).estimates
    assert not consistent(SAMPLERS["improved"]).memoryless  # a recorded step would take each picture for the first


def test_a_consistent_walk_is_not_recorded(photos):
    def never(step, x, pair):
        raise AssertionError("recorded")

    D = cd.Pixelate().bind(like=photos)
    y, times = D(photos, 1.0), cd.time_grid(12)
    kept = consistent(SAMPLERS["naive"])
    assert torch.equal(*(last(s(wrong, D, y, times)).x for s in (kept, captured(kept, never))))


@pytest.mark.parametrize(
    "op", [cd.GaussianMask(), cd.GaussianBlur(), cd.WideningBlur(), cd.Fade(), cd.Pixelate()], ids=str
)
@pytest.mark.parametrize("start", [0.1, 0.4])
def test_what_is_kept_of_eight_bits_is_nearer_to_the_truth_than_a_good_answer(op, start, photos):
    """Nothing true is given, but the picture: the hole's place and colour are read off it."""
    times = default_grid(1, start, op.level_times())
    params = op.draw_each(photos, [seeded(i) for i in range(len(photos))])
    y = (op(photos, times[0], params) * 255).round() / 255
    answer = photos + 0.05 * torch.randn(photos.shape, generator=seeded(9))
    found = last(restore(lambda x, t: answer, op, y, times, sampler=consistently(SAMPLERS["one_shot"], op))).x
    off, before = (float((x - photos).square().mean().sqrt()) for x in (found, answer))
    assert off < 0.999 * before
    assert float((found - answer).abs().max()) < 0.5, "something is wildly off"


# --- in restores -----------------------------------------------------------------------------------------------------


class Wrong(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, x, t):
        return x * 0.6 + 0.2


def test_a_restore_keeps_the_pixels_that_are_there(images):
    run = tiny.run_of(Wrong(), cd.PixelMask())
    x0 = 0.4 * images(3, 1, 8, 8, dtype=torch.float32)  # and nothing of the colour of what is missing
    params = run.degradation.draw(x0, seeded(0))
    x, seen = run.degradation(x0, 0.5, params), params["rank"] >= 0.5
    plain, kept = (run.restore(x, start=0.5, sampler="one_shot", consistent=flag) for flag in (False, True))
    assert torch.equal(kept[seen], x0[seen]) and not torch.equal(plain[seen], x0[seen])
    assert torch.equal(kept[~seen], plain[~seen])


def test_of_a_hole_that_was_read_off_soft_edges_are_kept_by_half(photos):
    op = cd.GaussianMask(num_steps=10, kernel_std=0.5)
    times = default_grid(1, 0.5, op.level_times())
    D = op.bind(op.draw_each(photos, [seeded(i) for i in range(len(photos))]), like=photos)
    y, gain = D(photos, times[0]), D(torch.ones_like(photos), times[0]) - D(torch.zeros_like(photos), times[0])
    found = last(restore(lambda x, t: 0 * x, op, y, times, sampler=consistently(SAMPLERS["one_shot"], op))).x
    faint, strong = (gain > 0.05) & (gain < 0.35), gain > 0.6
    assert bool(faint.any()) and float(found[faint].abs().max()) == 0
    assert float((found - photos)[strong].abs().max()) < 0.1


def test_what_is_no_sampler_is_told_as_ever(photos):
    run = tiny.run_of(tiny.Same(), cd.GaussianBlur(), (3, 24, 24))
    with pytest.raises(TypeError, match="expected a sampler or the name of one"):
        run.restore(photos, start=0.5, sampler=3, consistent=True)


def test_with_a_start_that_nobody_gave_less_is_kept(photos, monkeypatch):
    op, seen = cd.Desaturate(), []
    monkeypatch.setattr(type(op), "projection", lambda self, y, s, params, noise: seen.append(noise) or (lambda x: x))
    run = tiny.run_of(tiny.Same(), op, (3, 24, 24))
    for start in (0.5, None):
        run.restore(photos, start=start, sampler="one_shot", consistent=True)
    run.restore(photos, start=0.5, sampler="one_shot", consistent=0.07)
    assert seen == [ROUNDING, READ_OFF, 0.07]


@pytest.mark.parametrize(
    "op", [cd.GaussianNoise(), cd.PixelNoise(), cd.Jpeg(), cd.Resolution(), cd.Desaturate(lab=True)]
)
def test_where_nothing_is_known_for_certain_that_is_told(op, images):
    channels = 3 if isinstance(op, cd.Desaturate | cd.Jpeg) else 1
    run = tiny.run_of(Wrong(), op, (channels, 8, 8))
    with pytest.raises(ValueError, match=f"certain under {type(op).__name__}.*leave consistent out"):
        run.restore(images(1, channels, 8, 8, dtype=torch.float32), sampler="one_shot", consistent=True)


def test_the_command_line_keeps_what_was_measured(tmp_path, capsys):
    photo = cd.load_data("digits")[:1]
    viz.save(viz.to_image(cd.GaussianBlur()(photo, 0.1)[0]), tmp_path / "x.png")
    line = ["restore", "digits", str(tmp_path / "x.png"), "--start", "0.1", "--sampler", "one_shot"]
    assert main.main([*line, "--out", str(tmp_path / "plain")]) in (None, 0)
    assert main.main([*line, "--consistent", "--out", str(tmp_path / "kept")]) in (None, 0)
    plain, kept = ((tmp_path / name / "x.png").read_bytes() for name in ("plain", "kept"))
    assert plain != kept
