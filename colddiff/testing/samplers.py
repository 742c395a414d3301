"""What every sampler promises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..degradations.base import BoundDegradation, Degradation, Images, Params
from ..degradations.noise_schedules import CosineBetas
from ..degradations.operators.gaussian_blur import GaussianBlur
from ..degradations.operators.gaussian_noise import GaussianNoise
from ..degradations.operators.pixel_mask import PixelMask
from ..degradations.operators.uniform_noise import UniformNoise
from ..samplers.base import Sampler, State
from .reporting import describe, examples_of, last, name_of, naming_promise, parametrize, require, require_close, seeded


def check_sampler(sampler: Sampler, *, calls_per_step: int = 1, forgiving: bool = False) -> None:
    """Hold a sampler to every promise it makes.

    Args:
        sampler: the sampler.
        calls_per_step: how often it asks the restorer for each state that it yields; the last may take fewer.
        forgiving: it claims that errors of the restorer cancel where D(x, t) = x + t e.

    Raises:
        AssertionError: naming the first promise that it breaks.
    """
    for promise in sampler_promises(forgiving):
        check_sampler_promise(sampler, promise, calls_per_step=calls_per_step)


def sampler_promises(forgiving: bool = False) -> list[str]:
    """What `check_sampler` checks, in its order; `forgiving` as there."""
    return [name for name in SAMPLER_CHECKS if forgiving or name != "any_restorer_is_forgiven_on_a_line"]


def check_sampler_promise(sampler: Sampler, promise: str, *, calls_per_step: int = 1) -> None:
    """One of the checks by name.

    Args:
        sampler: the sampler.
        promise: one of `sampler_promises()`.
        calls_per_step: see `check_sampler`.

    Raises:
        AssertionError: naming the sampler and the promise, which it breaks.
    """
    with naming_promise(name_of(sampler), promise):
        SAMPLER_CHECKS[promise](sampler, calls_per_step)


class SamplerContract:
    """Every promise of every example, under pytest: `class TestMine(SamplerContract): examples = [mine]`."""

    examples: ClassVar[Sequence[Sampler]] = ()
    calls_per_step: ClassVar[int] = 1
    forgiving: ClassVar[bool] = False

    def pytest_generate_tests(self, metafunc: Any) -> None:
        if "promise" in metafunc.fixturenames:
            promises = sampler_promises(self.forgiving)
            parametrize(metafunc, "sampler", [(s, p) for s in examples_of(self) for p in promises])

    def test_promise(self, sampler: Sampler, promise: str) -> None:
        check_sampler_promise(sampler, promise, calls_per_step=self.calls_per_step)


# --- promises of every sampler ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Line(Degradation):
    """D(x, t) = x + t e: the first-order picture of any degradation, on which Algorithm 2 is exact."""

    def degrade(self, x: Images, s: Tensor, params: Params) -> Images:
        return x + s * params["e"]

    def draw(self, like: Images, generator: torch.Generator | None = None) -> Params:
        return {"e": torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.device, like.dtype)}

    def estimate(self, x_t: Images, x0: Images, t: Tensor, params: Params) -> Params:
        return {"e": (x_t - x0) / t.to(x_t.dtype).clamp(min=1e-9).reshape(-1, 1, 1, 1)}


GRID = torch.tensor([1.0, 0.7, 0.4, 0.2, 0.0], dtype=torch.float64)


@dataclass(frozen=True)
class Walk:
    """A walk with a restorer that always answers x0."""

    D: BoundDegradation
    x0: Images
    states: list[State]
    told: list[list[Tensor]]  # the times that the restorer was called with, before each of the states


def walks(sampler: Sampler) -> list[Walk]:
    """One for every kind of D that the sampler can serve."""
    x0 = torch.rand(3, 2, 5, 4, generator=seeded(5), dtype=torch.float64)
    noise = GaussianNoise(betas=CosineBetas(num_steps=20))
    found = []
    for op in (Line(), noise, GaussianBlur(sigma_max=2.0), PixelMask(), UniformNoise()):
        D = op.bind(op.draw(x0, seeded(0)), like=x0)
        told: list[list[Tensor]] = [[]]

        def R(x: Tensor, t: Tensor, told: list[list[Tensor]] = told) -> Tensor:
            told[-1].append(t)
            return x0.clone()

        states = []
        try:
            for state in sampler(R, D, D(x0, 1.0), GRID, generator=seeded(1)):
                states.append(state)
                told.append([])
            found.append(Walk(D, x0, states, told[:-1]))
        except NotImplementedError:  # D cannot estimate or refresh its params
            continue
    require(bool(found), "it serves none of the degradations of the suite")
    return found


def a_perfect_restorer_leads_to_x0(sampler: Sampler, calls_per_step: int) -> None:
    for walk in walks(sampler):
        message = f"a restorer that always answers x0 does not lead to x0 under {describe(walk.D.degradation)}"
        require_close(walk.states[-1].x, walk.x0, message, 1e-6)


def times_fall_to_the_end_of_the_grid(sampler: Sampler, calls_per_step: int) -> None:
    for walk in walks(sampler):
        for state in walk.states:
            require(state.t.shape == (3,), f"State.t must be one time per image, (3,), is {tuple(state.t.shape)}")
            require(state.x.shape == state.x0.shape == walk.x0.shape, "State.x and State.x0 must have the shape of x")
        times = [GRID[:1].expand(3), *(state.t for state in walk.states)]
        falling = all(bool((b < a).all()) for a, b in pairwise(times))
        require(falling, f"the times of its states do not fall: {[t.tolist() for t in times]}")
        require(bool((times[-1] == 0).all()), f"its last state is at {times[-1].tolist()}, not at 0")


def the_restorer_is_told_the_time_of_its_picture(sampler: Sampler, calls_per_step: int) -> None:
    for walk in walks(sampler):
        *calls, at_last = (len(times) for times in walk.told)
        require(set(calls) <= {calls_per_step}, f"{calls} restorer calls before its states, not {calls_per_step} each")
        require(1 <= at_last <= calls_per_step, f"{at_last} restorer calls before its last state, not {calls_per_step}")
        standing = [GRID[:1].expand(3), *(state.t for state in walk.states)]
        for (told, *_), t in zip(walk.told, standing, strict=False):
            right = told.shape == t.shape and torch.equal(told.double(), t.double())
            require(right, f"the restorer was told t = {told.tolist()} for a picture at {t.tolist()}")


def the_gradient_mode_is_left_as_it_was(sampler: Sampler, calls_per_step: int) -> None:
    op, x = Line(), torch.rand(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    D = op.bind({"e": torch.ones_like(x)}, like=x)
    on_inside = []

    def R(x: Tensor, t: Tensor) -> Tensor:
        on_inside.append(torch.is_grad_enabled())
        return x / 2

    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            try:
                states = sampler(R, D, x, GRID, generator=seeded(0))
                state = next(states)
                require(torch.is_grad_enabled() == enabled, "a walk that is under way changes the gradient mode")
                require(not state.x.requires_grad, "its images carry gradients: the memory of a walk grows with it")
                states.close()  # type: ignore[attr-defined]
            except NotImplementedError:
                return
            finally:
                after = torch.is_grad_enabled()
                torch.set_grad_enabled(enabled)
            require(after == enabled, "a walk that is abandoned changes the gradient mode")
    require(not any(on_inside), "the restorer is called with gradients on")


def a_column_per_image_equals_one_by_one(sampler: Sampler, calls_per_step: int) -> None:
    grid = torch.tensor([[1.0, 0.6], [0.5, 0.5], [0.25, 0.1], [0.0, 0.0]], dtype=torch.float64)
    op = GaussianNoise(betas=CosineBetas(num_steps=20))
    x = torch.rand(2, 1, 4, 4, generator=seeded(5), dtype=torch.float64)
    params = op.draw(x, seeded(0))

    def R(x: Tensor, t: Tensor) -> Tensor:
        return x * (1 - t / 3).to(x.dtype).reshape(-1, 1, 1, 1)

    together = last(sampler(R, op.bind(params, like=x), x.clone(), grid, generator=[seeded(0), seeded(1)])).x
    for i in range(2):
        row = slice(i, i + 1)
        D = op.bind({"noise": params["noise"][row]}, like=x[row])
        alone = last(sampler(R, D, x[row].clone(), grid[:, row], generator=[seeded(i)])).x
        require_close(
            together[row], alone, f"image {i} of a walk with a column of times per image differs from it alone"
        )


def a_seed_makes_the_walk_repeatable(sampler: Sampler, calls_per_step: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = [walk.states[-1].x for walk in walks(sampler)]
        torch.manual_seed(2)
        second = [walk.states[-1].x for walk in walks(sampler)]
        untouched = torch.equal(torch.random.get_rng_state(), seeded(2).get_state())
    require(all(map(torch.equal, first, second)), "two walks with the same seed differ")
    require(untouched, "it takes numbers from torch's global generator instead of the one it is given")


def the_first_picture_is_not_written_to(sampler: Sampler, calls_per_step: int) -> None:
    op = GaussianNoise(betas=CosineBetas(num_steps=20))
    x = torch.rand(2, 1, 4, 4, generator=seeded(5), dtype=torch.float64)
    before, grid = x.clone(), GRID.clone()
    last(sampler(lambda x, t: x / 2, op.bind(op.draw(x, seeded(0)), like=x), x, grid, generator=seeded(0)))
    require(torch.equal(x, before) and torch.equal(grid, GRID), "it writes into the picture or the times it is given")


def any_restorer_is_forgiven_on_a_line(sampler: Sampler, calls_per_step: int) -> None:
    x0 = torch.rand(2, 3, 4, 4, generator=seeded(5), dtype=torch.float64)
    D = Line().bind(Line().draw(x0, seeded(0)), like=x0)
    found = last(sampler(lambda x, t: x.flip(3).sin() - 1, D, D(x0, 1.0), GRID, generator=seeded(0))).x
    require_close(found, x0, "where D(x, t) = x + t e, a wrong restorer leads it away from x0")


SAMPLER_CHECKS: dict[str, Callable[[Sampler, int], None]] = {
    f.__name__: f
    for f in (
        times_fall_to_the_end_of_the_grid,
        the_restorer_is_told_the_time_of_its_picture,
        the_first_picture_is_not_written_to,
        a_seed_makes_the_walk_repeatable,
        a_perfect_restorer_leads_to_x0,
        the_gradient_mode_is_left_as_it_was,
        a_column_per_image_equals_one_by_one,
        any_restorer_is_forgiven_on_a_line,
    )
}
