"""A walk from any start, whatever the sampler."""

import math

import pytest
import torch
from support.comparing import distance
from support.sampling import wrong
from torch import Tensor

from colddiff import (
    SAMPLERS,
    GaussianBlur,
    GaussianMask,
    GaussianNoise,
    IteratedBlur,
    LinearBetas,
    naive,
    sample,
    time_grid,
    walk,
)
from colddiff.samplers.sample import named_sampler
from colddiff.testing.reporting import seeded
from colddiff.utils.rng import draw_noise

NOISE = GaussianNoise(betas=LinearBetas(num_steps=50, beta_start=0.001, beta_end=0.2))


def column(*values: Tensor | float) -> list[Tensor]:
    return [torch.as_tensor(v, dtype=torch.float64).reshape(-1, 1, 1, 1) for v in values]


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
