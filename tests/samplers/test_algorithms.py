"""The identities that make one sampler core cover the field, and what a walk accepts."""

import math
import warnings

import pytest
import torch
from torch import Tensor

from colddiff import (
    SAMPLERS,
    BetaTable,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    Interpolate,
    IteratedBlur,
    LinearBetas,
    PixelMask,
    Power,
    Table,
    UniformNoise,
    estimated,
    improved,
    naive,
    one_shot,
    sample,
    time_grid,
    walk,
)
from colddiff.samplers.sample import named_sampler
from colddiff.testing import Line
from colddiff.testing.reporting import last, seeded
from colddiff.utils.rng import draw_noise

NOISE = GaussianNoise(betas=LinearBetas(num_steps=50, beta_start=0.001, beta_end=0.2))


def wrong(x: Tensor, t: Tensor) -> Tensor:
    """A restorer that is wrong, and depends on all it is given."""
    return x.flip(3).sin() * (1 - t / 2).to(x.dtype).reshape(-1, 1, 1, 1) + 0.1


def grid(*levels: float, of: float = 1) -> Tensor:
    return torch.tensor(levels, dtype=torch.float64) / of


def distance(a: Tensor, b: Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).abs().max())


def column(*values: Tensor | float) -> list[Tensor]:
    return [torch.as_tensor(v, dtype=torch.float64).reshape(-1, 1, 1, 1) for v in values]


def centred(x: Tensor) -> Tensor:
    return 2 * x - 1


# --- the table of identities -----------------------------------------------------------------------------------------


def test_naive_is_algorithm_1(images) -> None:
    x, op = images(2, 1, 6, 5), GaussianBlur(sigma_max=2)
    D, y = op.bind(like=x), x
    for t, s in ((1.0, 0.5), (0.5, 0.2), (0.2, 0.0)):
        y = D(wrong(y, torch.full((2,), t)), s)
    assert distance(sample(wrong, D, x, times=[1.0, 0.5, 0.2, 0.0], sampler=naive), y) < 1e-7


def test_improved_is_algorithm_2(images) -> None:
    x, op = images(2, 1, 6, 5), GaussianBlur(sigma_max=2)
    D, y = op.bind(like=x), x
    for t, s in ((1.0, 0.5), (0.5, 0.2), (0.2, 0.0)):
        x0 = wrong(y, torch.full((2,), t))
        y = y - D(x0, t) + D(x0, s)
    assert distance(sample(wrong, D, x, times=[1.0, 0.5, 0.2, 0.0], sampler=improved), y) < 1e-7


def test_improved_forgives_any_restorer_on_a_line_and_naive_does_not(images) -> None:
    x0 = images(2, 3, 4, 5)
    D = Line().bind(Line().draw(x0, seeded(0)), like=x0)
    assert distance(sample(wrong, D, D(x0, 1.0), steps=7, sampler=improved), x0) < 1e-12
    assert distance(sample(wrong, D, D(x0, 1.0), steps=7, sampler=naive), x0) > 0.1


def test_estimated_on_gaussian_noise_is_ddim(images) -> None:
    x_t, alpha_bar = images(3, 2, 4, 5), NOISE.betas.alpha_bars()
    D = NOISE.bind({}, like=x_t)
    for k, j in ((50, 30), (30, 7), (7, 0)):
        x0 = wrong(x_t, torch.full((3,), k / 50, dtype=torch.float64))
        found = last(estimated()(wrong, D, x_t, grid(k, j, of=50))).x
        epsilon = (centred(x_t) - alpha_bar[k].sqrt() * centred(x0)) / (1 - alpha_bar[k]).sqrt()
        expected = alpha_bar[j].sqrt() * centred(x0) + (1 - alpha_bar[j]).sqrt() * epsilon
        assert distance(centred(found), expected) < 1e-12


@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_estimated_with_eta_is_ddim_with_that_much_noise(eta, images) -> None:
    x_t, alpha_bar = images(3, 2, 4, 5), NOISE.betas.alpha_bars()
    D = NOISE.bind({}, like=x_t)
    for k, j in ((50, 49), (30, 7), (7, 0)):
        x0 = wrong(x_t, torch.full((3,), k / 50, dtype=torch.float64))
        found = last(estimated(eta)(wrong, D, x_t, grid(k, j, of=50), generator=seeded(4))).x
        w, a_t, a_s = draw_noise(x_t, seeded(4)), alpha_bar[k], alpha_bar[j]
        sigma = eta * ((1 - a_s) / (1 - a_t)).sqrt() * (1 - a_t / a_s).sqrt()
        epsilon = (centred(x_t) - a_t.sqrt() * centred(x0)) / (1 - a_t).sqrt()
        expected = a_s.sqrt() * centred(x0) + (1 - a_s - sigma**2).clamp(min=0).sqrt() * epsilon + sigma * w
        assert distance(centred(found), expected) < 1e-12


def test_at_eta_one_consecutive_steps_are_ddpm(images) -> None:
    x_t, betas = images(2, 1, 4, 5), NOISE.betas.betas()
    alpha_bar, D = NOISE.betas.alpha_bars(), NOISE.bind({}, like=x_t)
    for k in (50, 25, 2, 1):
        x0 = wrong(x_t, torch.full((2,), k / 50, dtype=torch.float64))
        found = last(SAMPLERS["ddpm"](wrong, D, x_t, grid(k, k - 1, of=50), generator=seeded(4))).x
        beta, a_t, a_s = betas[k - 1], alpha_bar[k], alpha_bar[k - 1]
        # Ho et al. 2020, equation 7
        mean = (a_s.sqrt() * beta * centred(x0) + (1 - beta).sqrt() * (1 - a_s) * centred(x_t)) / (1 - a_t)
        variance = (1 - a_s) / (1 - a_t) * beta
        assert distance(centred(found), mean + variance.sqrt() * draw_noise(x_t, seeded(4))) < 1e-10


@pytest.mark.parametrize("op", [NOISE, Interpolate(), UniformNoise(wrap=False)], ids=str)
def test_both_algorithms_coincide_under_estimated_params(op, images) -> None:
    x_t, other = images(2, 3, 4, 5), images(2, 3, 4, 5, seed=1)
    params = {"endpoint": other} if op.required_params else op.draw(x_t, seeded(0))
    x0 = wrong(x_t, torch.ones(2))
    D = op.bind(params, like=x_t).estimate(x_t, x0, 0.8)
    assert distance(x_t + (D(x0, 0.4) - D(x0, 0.8)), D(x0, 0.4)) < 1e-12


def test_estimated_on_an_interpolation_is_indi(images) -> None:
    x_t = images(2, 3, 4, 5)
    D = Interpolate().bind({"endpoint": x_t}, like=x_t)
    for t, s in ((1.0, 0.6), (0.6, 0.1), (0.1, 0.0)):
        x0 = wrong(x_t, torch.full((2,), t, dtype=torch.float64))
        found = last(estimated()(wrong, D, x_t, grid(t, s))).x
        assert distance(found, s / t * x_t + (1 - s / t) * x0) < 1e-12
        velocity = (x_t - x0) / t  # rectified flow, with time running from the image to its endpoint
        assert distance(found, x_t + (s - t) * velocity) < 1e-12


def test_improved_with_a_known_endpoint_moves_along_the_restored_line(images) -> None:
    x_t, y = images(2, 3, 4, 5), images(2, 3, 4, 5, seed=1)
    D = Interpolate().bind({"endpoint": y}, like=x_t)
    for t, s in ((1.0, 0.6), (0.6, 0.1), (0.1, 0.0)):
        x0 = wrong(x_t, torch.full((2,), t, dtype=torch.float64))
        assert distance(last(improved(wrong, D, x_t, grid(t, s))).x, x_t + (t - s) * (x0 - y)) < 1e-12


def test_improved_never_changes_an_observed_pixel_of_a_nested_mask(images) -> None:
    x0, op = images(2, 3, 6, 5, dtype=torch.float32), PixelMask()
    params = op.draw(x0, seeded(0))
    D = op.bind(params, like=x0)
    seen = (params["rank"] >= 0.7).expand_as(x0)
    start = D(x0, 0.7)
    for sampler, kept in ((improved, True), (naive, False)):
        for state in walk(wrong, D, start, times=[0.7, 0.5, 0.3, 0.1, 0.0], sampler=sampler):
            assert torch.equal(state.x[seen], x0[seen]) == kept


def test_one_shot_is_the_first_answer(images) -> None:
    x = images(2, 1, 4, 4)
    D = GaussianBlur().bind(like=x)
    (state,) = one_shot(wrong, D, x, grid(1.0, 0.5, 0.0))
    assert torch.equal(state.x, wrong(x, torch.ones(2))) and torch.equal(state.x, state.x0)


@pytest.mark.parametrize(("name", "scheduler"), [("estimated", "DDIMScheduler"), ("ddpm", "DDPMScheduler")])
@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_steps_are_those_of_diffusers(name, scheduler, schedule, images) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diffusers = pytest.importorskip("diffusers")
        theirs = getattr(diffusers, scheduler)(
            num_train_timesteps=50,
            beta_start=0.001,
            beta_end=0.2,
            beta_schedule=schedule,
            clip_sample=False,
            prediction_type="sample",
            **({"set_alpha_to_one": True} if name == "estimated" else {}),
        )
    op = GaussianNoise(betas=BetaTable(values=tuple(theirs.betas.double().tolist())))
    theirs.alphas_cumprod = op.betas.alpha_bars()[1:]  # their float32 table loses the digits of the last steps
    theirs.set_timesteps(50)  # every step, so that their previous timestep is the one below
    x_t = images(2, 3, 4, 5, dtype=torch.float32)
    D = op.bind({}, like=x_t)
    for k in (50, 30, 2, 1):
        x0 = wrong(x_t, torch.full((2,), k / 50))
        ours = last(SAMPLERS[name](wrong, D, x_t, grid(k, k - 1, of=50), generator=seeded(4))).x
        # Level k of ours is timestep k - 1 of theirs; both draw the same normals from the same seed.
        step = theirs.step(centred(x0), k - 1, centred(x_t), generator=seeded(4))
        assert distance(centred(ours), step.prev_sample) < 1e-5


# --- grids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLERS)
def test_images_may_start_at_different_times(name, images) -> None:
    x, start = images(3, 1, 4, 4), torch.tensor([1.0, 0.5, 0.02])
    D = NOISE.bind(NOISE.draw(x, seeded(0)), like=x)
    together = sample(wrong, D, x, steps=10, start=start, sampler=name, generator=[seeded(i) for i in range(3)])
    assert together.shape == x.shape
    for i in range(2):
        alone = NOISE.bind({"noise": D.params["noise"][i : i + 1]}, like=x[i : i + 1])
        times = time_grid(10, start, levels=NOISE.level_times())[:, i : i + 1]
        found = sample(wrong, alone, x[i : i + 1], times=times, sampler=name, generator=[seeded(i)])
        assert distance(found, together[i : i + 1]) < 1e-12


@pytest.mark.parametrize("name", ["naive", "improved", "heun", "multistep", "estimated"])
def test_an_image_that_is_done_early_waits_unchanged_for_the_others(name, images) -> None:
    op = GaussianNoise(betas=LinearBetas(num_steps=10, beta_start=0.01, beta_end=0.4))
    x, start = images(2, 1, 4, 4), torch.tensor([1.0, 0.2], dtype=torch.float64)
    D = op.bind(op.draw(x, seeded(0)), like=x)
    together = sample(wrong, D, x, steps=10, start=start, sampler=name)
    for i in range(2):
        alone = op.bind({"noise": D.params["noise"][i : i + 1]}, like=x[i : i + 1])
        column = time_grid(10, start, levels=op.level_times())[:, i]
        times = column[torch.cat([torch.tensor([True]), column[1:] < column[:-1]])]
        found = sample(wrong, alone, x[i : i + 1], times=times, sampler=name)
        assert distance(found, together[i : i + 1]) < 1e-12


def test_a_start_between_levels_is_said_to_be_moved() -> None:
    with pytest.warns(UserWarning, match="start 0.33 is between levels"):
        time_grid(1, 0.33, levels=torch.arange(4, dtype=torch.float64) / 3)


def test_skipping_steps_asks_the_restorer_less_often(images) -> None:
    x, calls = images(1, 1, 4, 4), []
    D = IteratedBlur(num_steps=20).bind(like=x)
    for steps, expected in ((20, 20), (5, 5), (1, 1)):
        calls.clear()
        sample(lambda x, t: calls.append(float(t)) or x, D, x, steps=steps)
        assert len(calls) == expected and calls[0] == 1


def test_a_walk_can_be_stopped_early(images) -> None:
    x, calls = images(1, 1, 4, 4), []
    states = walk(lambda x, t: calls.append(t) or x, GaussianBlur().bind(like=x), x, steps=10)
    next(states), next(states)
    assert len(calls) == 2


def test_a_grid_ends_at_zero_in_equal_steps_of_time() -> None:
    assert time_grid(4).tolist() == [1, 0.75, 0.5, 0.25, 0]
    assert time_grid(2, 0.5).tolist() == [0.5, 0.25, 0]
    assert time_grid(2, torch.tensor([1.0, 0.5])).tolist() == [[1, 0.5], [0.5, 0.25], [0, 0]]


def test_a_grid_snaps_to_the_levels_of_an_operator() -> None:
    for op in (IteratedBlur(num_steps=20), IteratedBlur(num_steps=20, schedule=Power())):
        levels = op.level_times()
        times = time_grid(7, levels=levels)
        assert len(times) == 8 and times[0] == 1 and times[-1] == 0
        assert bool(torch.isin(times, levels).all())
    table = IteratedBlur(num_steps=4, schedule=Table(values=(0.0, 0.1, 1.0)))
    assert distance(table.severity(table.level_times()), torch.arange(5) / 4) < 1e-12


def test_a_grid_drops_duplicate_levels_and_says_so() -> None:
    levels = torch.linspace(0, 1, 4, dtype=torch.float64)
    with pytest.warns(UserWarning, match="8 steps on 3 levels: only 3 are distinct"):
        times = time_grid(8, levels=levels)
    assert torch.equal(times, levels.flip(0))


def test_a_start_below_the_first_level_is_that_level() -> None:
    levels = torch.linspace(0, 1, 11, dtype=torch.float64)
    with pytest.warns(UserWarning, match="between levels"):
        times = time_grid(1, 0.01, levels=levels)
    assert times.tolist() == pytest.approx([0.1, 0])


@pytest.mark.parametrize("steps", [0, -1, 2.0, "3"])
def test_steps_are_a_whole_number(steps) -> None:
    with pytest.raises(ValueError, match="whole number"):
        time_grid(steps)


@pytest.mark.parametrize("start", [0.0, 1.5, math.nan, torch.zeros(2), torch.ones(2, 2)])
def test_a_start_out_of_range_is_refused(start) -> None:
    with pytest.raises(ValueError, match="start must be"):
        time_grid(3, start)


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([1.0], r"\(K \+ 1,\)"),
        ([0.0, 1.0], "decrease strictly"),
        ([1.0, 0.5, 0.5], "decrease strictly"),
        ([1.0, math.nan], "decrease strictly"),
        ([1.5, 0.0], r"in \[0, 1\]"),
        ([0.5, -0.5], r"in \[0, 1\]"),
        (torch.zeros(3, 5), "column per image"),
        (torch.zeros(2, 2, 2), "column per image"),
        (torch.tensor([[1.0, 0.5], [0.5, 0.6]]), "decrease strictly"),
    ],
)
def test_a_grid_that_does_not_fall_is_refused(times, words, images) -> None:
    x = images(2, 1, 4, 4)
    with pytest.raises(ValueError, match=words):
        sample(wrong, GaussianBlur().bind(like=x), x, times=times)


def test_either_steps_or_times_are_given(images) -> None:
    x = images(1, 1, 4, 4)
    D = GaussianBlur().bind(like=x)
    for given in ({}, {"steps": 2, "times": [1.0, 0.0]}):
        with pytest.raises(ValueError, match="either steps"):
            sample(wrong, D, x, **given)


def test_a_degradation_must_be_bound(images) -> None:
    with pytest.raises(TypeError, match=r"degradation\.bind"):
        sample(wrong, GaussianBlur(), images(1, 1, 4, 4), steps=2)


def test_arguments_are_checked_before_the_first_step(images) -> None:
    x = images(1, 1, 4, 4)
    with pytest.raises(ValueError, match="either steps"):
        walk(wrong, GaussianBlur().bind(like=x), x)


def test_a_sampler_is_known_by_name() -> None:
    assert named_sampler("naive") is naive
    with pytest.raises(
        LookupError, match=r"no sampler is named 'improve' \(did you mean 'improved'\?\); known: one_shot"
    ):
        named_sampler("improve")


@pytest.mark.parametrize("eta", [-0.1, 1.1, math.nan])
def test_eta_is_a_share(eta) -> None:
    with pytest.raises(ValueError, match="eta"):
        estimated(eta)


def test_noise_from_a_generator_per_image_does_not_depend_on_the_batch(images) -> None:
    x = images(3, 1, 4, 4)
    together = draw_noise(x, [seeded(i) for i in range(3)])
    assert torch.equal(together[2], draw_noise(x[2:], seeded(2))[0])
    with pytest.raises(ValueError, match="one generator per image, 3, got 1"):
        draw_noise(x, [seeded(0)])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_walk_never_waits_for_the_gpu(name) -> None:
    x = torch.rand(2, 3, 16, 16, device="cuda")
    D = NOISE.bind(NOISE.draw(x, seeded(0)), like=x)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = sample(lambda x, t: x * 0.9, D, x, steps=5, sampler=name, generator=seeded(1))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert bool(found.isfinite().all())


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # inductor's own
@pytest.mark.parametrize("op", [GaussianNoise(), GaussianBlur(), GaussianMask()], ids=str)
def test_a_step_compiled_by_inductor_is_the_step(op) -> None:
    x0 = torch.rand(2, 1, 12, 12, generator=seeded(0))
    D = op.bind(op.draw(x0, seeded(0)), like=x0)

    def step(x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        x0 = 0.9 * x
        return x + (D(x0, s) - D(x0, t))

    torch._dynamo.reset()
    compiled = torch.compile(step, fullgraph=True)
    for t, s in ((1.0, 0.5), (0.5, 0.25)):
        times = torch.full((2,), t, dtype=torch.float64), torch.full((2,), s, dtype=torch.float64)
        assert distance(compiled(x0, *times), step(x0, *times)) < 1e-5
