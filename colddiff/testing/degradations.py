"""What every degradation promises, and what each may claim beyond."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..degradations.base import BoundDegradation, Claims, Degradation, Images, Params
from ..samplers.algorithms import improved, naive
from .reporting import (
    NEEDS_GPU,
    describe,
    examples_of,
    last,
    name_of,
    naming_promise,
    parametrize,
    require,
    require_close,
    seeded,
)

Supply = Callable[[Degradation, Images], Params]


def random_images_for_required_params(op: Degradation, like: Images) -> Params:
    """A random image for each param that the operator expects from the data."""
    generator = torch.Generator().manual_seed(99)
    draws = {name: torch.rand(like.shape, generator=generator, dtype=torch.float64) for name in op.required_params}
    return {name: draw.to(like.device, like.dtype) for name, draw in draws.items()}


def check_degradation(op: Degradation, supply: Supply = random_images_for_required_params) -> None:
    """Hold an operator to every promise it makes.

    Args:
        op: the operator.
        supply: where its required params are not images, what makes them: `(op, like) -> params`.

    Raises:
        AssertionError: naming the operator, and the first promise that it breaks.
    """
    for promise in degradation_promises(op):
        if promise != NEEDS_GPU or torch.cuda.is_available():
            check_degradation_promise(op, promise, supply)


def degradation_promises(op: Degradation) -> list[str]:
    """What is checked of `op`: the contract, and what it claims beyond; the last one needs a GPU."""
    return [name for name, (applies, _) in DEGRADATION_CHECKS.items() if applies(op)]


def check_degradation_promise(
    op: Degradation, promise: str, supply: Supply = random_images_for_required_params
) -> None:
    """One of the checks by name.

    Args:
        op: the operator.
        promise: one of `degradation_promises(op)`.
        supply: see `check_degradation`.

    Raises:
        AssertionError: naming the operator and the promise, which it breaks.
    """
    with naming_promise(describe(op), promise):
        DEGRADATION_CHECKS[promise][1](Subject(op, supply))


class DegradationContract:
    """Every promise of every example, under pytest: `class TestFog(DegradationContract): examples = [Fog()]`.

    Override `supply` where an operator has required params that are not images.
    """

    examples: ClassVar[Sequence[Degradation]] = ()

    def supply(self, op: Degradation, like: Images) -> Params:
        return random_images_for_required_params(op, like)

    def pytest_generate_tests(self, metafunc: Any) -> None:
        if "promise" in metafunc.fixturenames:
            cases = [(op, promise) for op in examples_of(self) for promise in degradation_promises(op)]
            parametrize(metafunc, "op", cases)

    def test_promise(self, op: Degradation, promise: str) -> None:
        check_degradation_promise(op, promise, self.supply)


# --- the operator under test -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """An operator under test, and where the params come from that data would bring it.

    Args:
        op: the operator.
        supply: `(op, like) -> params`, those that it requires.
    """

    op: Degradation
    supply: Supply

    def images(
        self, n: int = 3, h: int = 8, w: int = 6, *, dtype: torch.dtype = torch.float64, channels: int | None = None
    ) -> Images:
        """Random images, some of their values black or white."""
        channels = self.channels()[0] if channels is None else channels
        x = torch.rand(n, channels, h, w, generator=seeded(7), dtype=torch.float64)
        return (1.25 * x - 0.125).clamp(0, 1).to(dtype)

    def channels(self) -> list[int]:
        """Which of 3 and 1 channels the operator takes; one that needs colours may refuse grey with a ValueError."""
        taken, refusal = [], None
        for channels in (3, 1):
            x = torch.zeros(1, channels, 8, 6)
            try:
                self.bind(x)(x, 0.5)
            except ValueError as error:
                refusal = error
            else:
                taken.append(channels)
        if not taken:
            raise AssertionError(f"it takes images of neither 3 channels nor 1: {refusal}")
        return taken

    def params(self, like: Images, seed: int = 0) -> Params:
        return self.supply(self.op, like) | self.op.draw(like, seeded(seed))

    def bind(self, like: Images, seed: int = 0) -> BoundDegradation:
        return self.op.bind(self.params(like, seed), like=like)

    def bound(self, *, dtype: torch.dtype = torch.float64, n: int = 3) -> tuple[BoundDegradation, Images]:
        x = self.images(n, dtype=dtype)
        return self.bind(x), x


# --- promises of every operator --------------------------------------------------------------------------------------


def is_clean_at_zero(subject: Subject) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        inside = subject.images(4, dtype=dtype)
        for x in (inside, 2 * inside - 0.5):  # samplers hand over what lies outside [0, 1]
            D = subject.bind(x)
            for t in ([0.0, 0.0, 0.0, 0.0], [0.0, 0.6, 0.0, 1.0]):
                times = torch.tensor(t)
                kept = times == 0
                require(torch.equal(D(x.clone(), times)[kept], x[kept]), f"D(x, 0) is not x at t = {t} in {dtype}")


def keeps_shape_dtype_device_and_input(subject: Subject) -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        x, t = subject.images(dtype=dtype), torch.tensor([0.2, 0.7, 1.0], dtype=torch.float64)
        params = subject.params(x)
        before = [v.clone() for v in (x, t, *params.values())]
        y = subject.op(x, t, params)
        got = (tuple(y.shape), y.dtype, y.device)
        require(got == (tuple(x.shape), x.dtype, x.device), f"images {tuple(x.shape)}, {dtype} came back as {got}")
        for name, old, new in zip(("x", "t", *params), before, (x, t, *params.values()), strict=True):
            require(torch.equal(old, new), f"it writes into its argument {name!r}")


def same_params_give_the_same_output(subject: Subject) -> None:
    x, t = subject.images(), torch.tensor([0.3, 0.6, 1.0])
    params = subject.params(x)
    D = subject.op.bind(params, like=x)
    first = D(x.clone(), t)
    subject.bind(x, seed=1)(x.clone(), 1.0)  # what happens in between must not be remembered
    for again in (D, subject.op.bind(params, like=x)):
        require(torch.equal(first, again(x.clone(), t)), "two calls with the same x, t and params differ")


def same_seed_gives_the_same_params(subject: Subject) -> None:
    x = subject.images()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = subject.op.draw(x, seeded(0))
        torch.manual_seed(2)
        second = subject.op.draw(x, seeded(0))
        moved = not torch.equal(torch.random.get_rng_state(), seeded(2).get_state())
    for name, value in first.items():
        require(torch.equal(value, second[name]), f"two draws of {name!r} with the same seed differ")
    require(not moved, "draw takes numbers from torch's global generator instead of the one it is given")


def every_param_has_a_batch_axis(subject: Subject) -> None:
    for n in (1, 3):
        for name, value in subject.op.draw(subject.images(n), seeded(0)).items():
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            require(isinstance(got, tuple) and got[:1] == (n,), f"{name!r} must have {n} rows for {n} images, is {got}")


def samples_are_independent(subject: Subject) -> None:
    x = subject.images(4)
    params, t = subject.params(x), torch.tensor([0.15, 1.0, 0.0, 0.55], dtype=torch.float64)
    together = subject.op.bind(params, like=x)(x.clone(), t)
    for i in range(4):
        row = {name: value[i : i + 1] for name, value in params.items()}
        alone = subject.op.bind(row, like=x[i : i + 1])(x[i : i + 1].clone(), t[i : i + 1])
        require_close(together[i : i + 1], alone, f"image {i} of a batch with times {t.tolist()} differs from it alone")


def a_change_is_the_difference_of_two_severities(subject: Subject) -> None:
    D, x = subject.bound()
    for t, s in (([1.0, 1.0, 1.0], 0.6), ([0.9, 0.35, 0.2], [0.5, 0.3, 0.0]), (0.45, 0.2)):
        before, after = (torch.tensor(v, dtype=torch.float64) for v in (t, s))
        expected = D(x.clone(), after) - D(x.clone(), before)
        require_close(D.change(x.clone(), before, after), expected, f"the change from t = {t} to {s} is another")


def draw_each_does_not_depend_on_the_batch(subject: Subject) -> None:
    x = subject.images(3)
    together = subject.op.draw_each(x, [seeded(i) for i in range(3)])
    for i in range(3):
        for name, value in subject.op.draw(x[i : i + 1], seeded(i)).items():
            message = f"{name!r} of image {i}, drawn with its own generator, depends on the rest of the batch"
            require_close(together[name][i : i + 1], value, message)


def survives_a_round_trip_through_json(subject: Subject) -> None:
    op = subject.op
    text = json.dumps(op.to_config(), sort_keys=True)
    again = type(op).from_config(json.loads(text))
    require(again == op and hash(again) == hash(op), f"rebuilt from its JSON it is another object, {again}")
    require(json.dumps(again.to_config(), sort_keys=True) == text, "equal objects have different JSON")


def a_perfect_restorer_is_recovered(subject: Subject) -> None:
    D, x0 = subject.bound()
    times = torch.tensor([[1.0, 0.8, 0.5], [0.6, 0.5, 0.3], [0.2, 0.1, 0.1], [0.0, 0.0, 0.0]], dtype=torch.float64)
    for sampler in (naive, improved):
        x = last(sampler(lambda x, t: x0.clone(), D, D(x0.clone(), times[0]), times)).x
        require_close(x, x0, f"a restorer that always answers x0 does not lead {name_of(sampler)} to x0", 1e-6)


def half_precision_is_finite(subject: Subject) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        D, x = subject.bound(dtype=dtype)
        for t in (0.0, 0.01, 0.5, 1.0):
            require(bool(D(x, t).isfinite().all()), f"D(x, {t}) is not finite in {dtype}")


def runs_on_the_meta_device(subject: Subject) -> None:
    x = subject.images().to("meta")
    y = subject.op(x, torch.ones(3, device="meta"), subject.params(x))
    require(y.device.type == "meta" and y.shape == x.shape, f"a meta tensor came back on {y.device} as {y.shape}")


def any_size_and_batch_will_do(subject: Subject) -> None:
    for channels in subject.channels():
        for n, h, w in ((1, 8, 6), (1, 9, 16), (2, 13, 7), (1, 11, 11)):
            x = subject.images(n, h, w, channels=channels)
            y = subject.bind(x)(x, 0.7)
            require(y.shape == x.shape, f"images {tuple(x.shape)} came back as {tuple(y.shape)}")
            require(bool(y.isfinite().all()), f"images {tuple(x.shape)} came back with values that are not finite")


# --- promises that an operator may claim -----------------------------------------------------------------------------


def is_monotone(subject: Subject) -> None:
    x = subject.images(8, dtype=torch.float32)
    D = subject.bind(x)
    distances = [float((D(x, k / 20) - x).abs().mean()) for k in range(21)]
    for k, (before, after) in enumerate(pairwise(distances)):
        farthest = max(before, *distances[: k + 1])
        message = f"the mean distance from the clean images falls from {farthest:.3f} to {after:.3f} at t = {k / 20}"
        require(after >= farthest - 1e-2, message)


def is_linear(subject: Subject) -> None:
    D, x = subject.bound()
    y, t = x.flip(0, 2), torch.tensor([0.0, 0.4, 1.0])
    require_close(D(2 * x - 3 * y, t), 2 * D(x, t) - 3 * D(y, t), "D(2x - 3y) differs from 2 D(x) - 3 D(y)")


def each_value_goes_its_own_way(subject: Subject) -> None:
    D, x = subject.bound()
    t = torch.tensor([0.0, 0.4, 1.0])
    b = D(torch.zeros_like(x), t)
    a = D(torch.ones_like(x), t) - b
    require_close(D(x, t), a * x + b, "D(x) differs from a x + b, b = D(0) and a = D(1) - b")


def has_an_adjoint(subject: Subject) -> None:
    D, x = subject.bound()
    y, t = x.flip(0, 2), torch.tensor([0.1, 0.4, 1.0])
    leaf = torch.zeros_like(x, requires_grad=True)
    origin = D(leaf, t)
    (adjoint,) = torch.autograd.grad(origin, leaf, y)
    there, back = (D(x, t) - origin.detach()) * y, x * adjoint
    message = "<A x, y> differs from <x, A* y>, A* the vector-Jacobian product"
    require_close(there.sum(dim=(1, 2, 3)), back.sum(dim=(1, 2, 3)), message, 1e-8)


def gradients_are_those_of_the_formula(subject: Subject) -> None:
    x = subject.images(2, 4, 3)
    D, t = subject.bind(x), torch.tensor([0.37, 1.0], dtype=torch.float64)
    try:
        torch.autograd.gradcheck(lambda x: D(x, t), x.requires_grad_(), check_undefined_grad=False)
    except RuntimeError as error:
        raise AssertionError(f"gradients differ from finite differences: {error}") from error
    times = torch.tensor([0.31, 0.77], dtype=torch.float64, requires_grad=True)
    y = D(x, times)
    if y.grad_fn is not None and times.requires_grad:
        slopes = torch.autograd.grad(y.sum(), times, allow_unused=True)[0]
        require(slopes is None or bool(slopes.isfinite().all()), f"the gradient in t is not finite: {slopes}")


def one_graph_serves_every_time(subject: Subject) -> None:
    graphs = 0

    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        nonlocal graphs
        graphs += 1
        return graph.forward

    D, x = subject.bound(dtype=torch.float32)
    torch._dynamo.reset()
    compiled = torch.compile(D.__call__, fullgraph=True, backend=backend, dynamic=False)
    try:
        for t in (torch.tensor([0.3, 0.0, 1.0]), torch.tensor([0.9, 0.1, 0.45]), torch.tensor([0.0, 0.0, 0.0])):
            require_close(compiled(x, t), D(x, t), f"the compiled operator differs at t = {t.tolist()}", 1e-5)
    finally:
        torch._dynamo.reset()
    require(graphs == 1, f"three batches of times took {graphs} graphs instead of one")


def estimated_params_explain_the_picture(subject: Subject) -> None:
    D, x = subject.bound()
    guess = x.flip(0, 3) * 0.8 + 0.1
    for t in (0.3, 0.7, 1.0):
        x_t = D(x, t)
        require_close(
            D.estimate(x_t, guess, t)(guess, t), x_t, f"with the params estimated at t = {t}, D(x0, t) is not x_t"
        )
    clean = D.estimate(x, x, 0.0)(x, 0.7)
    require(bool(clean.isfinite().all()), "params estimated at t = 0 are not finite")


def observed_params_can_be_bound(subject: Subject) -> None:
    D, x = subject.bound()
    t = torch.tensor([0.3, 0.6, 1.0], dtype=torch.float64)
    x_t = D(x, t)
    found = subject.op.bind(subject.op.observe(x_t, t), like=x)
    error = float((found(x, t) - x_t).abs().mean())
    require(error < 0.05, f"with the params read off a picture D misses that picture by {error:.3f} on average")
    on_meta = subject.op.observe(x_t.to("meta"), t.to("meta"))
    require(all(p.is_meta for p in on_meta.values()), "params read off a picture are not on its device")


def what_a_picture_tells_is_kept(subject: Subject) -> None:
    D, x = subject.bound()
    other, t = x.flip(0, 3) * 0.8 + 0.1, torch.tensor([0.3, 0.6, 1.0])
    y = D(x, t)
    kept = D.projection(y, t, 1e-12)
    require_close(D(kept(other), t), y, "D of an image that was given what the picture tells is not the picture", 1e-7)
    require_close(kept(x), x, "what is taken from the picture of an image changes that very image", 1e-4)
    all_told = D.projection(x, 0.0, 1e-12)(other)
    require_close(all_told, x, "a picture that is not damaged does not tell all of itself", 1e-7)


def is_exact_on_its_levels_and_linear_between(subject: Subject) -> None:
    op, (D, x) = subject.op, subject.bound()
    times, count = op.level_times(), op.levels
    assert times is not None and count is not None
    for k in sorted({0, min(1, count - 1), count // 3, count - 1}):
        low, high = D(x, times[k]), D(x, times[k + 1])
        require_close(D(x, times[k].float()), low, f"level {k} is missed when its time comes in float32")
        between = op.schedule.inverse((k + 0.3) / count * torch.ones((), dtype=torch.float64))
        message = f"between levels {k} and {k + 1} of {count}, D is not the straight line"
        require_close(D(x, between), torch.lerp(low, high, 0.3), message, 1e-8)


def a_missing_param_is_named(subject: Subject) -> None:
    x = subject.images()
    for name in subject.op.required_params:
        params = {k: v for k, v in subject.params(x).items() if k != name}
        try:
            subject.op(x, 0.5, params)
        except TypeError as error:
            require(name in str(error), f"the TypeError for the missing param {name!r} does not name it: {error}")
        except Exception as error:
            raise AssertionError(f"a missing {name!r} is not a TypeError but {error!r}") from error
        else:
            raise AssertionError(f"it runs without its required param {name!r}")


def never_waits_for_the_gpu(subject: Subject) -> None:
    x = subject.images(dtype=torch.float32)
    t = torch.tensor([0.3, 0.0, 1.0])
    expected = subject.bind(x)(x, t)
    on_gpu, times = x.cuda(), t.cuda()
    subject.bind(on_gpu)(on_gpu, times)  # tables are made once
    supplied = subject.supply(subject.op, on_gpu)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = subject.op.bind(supplied | subject.op.draw(on_gpu, seeded(0)), like=on_gpu)(on_gpu, times)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    require_close(got.cpu(), expected, "the GPU's answer differs from the CPU's", 1e-4)


def _always(op: Degradation) -> bool:
    return True


def _claimed(claim: Claims) -> Callable[[Degradation], bool]:
    return lambda op: claim in op.claims


# From what everything rests on to what rests on it: the first broken promise is the one to mend.
DEGRADATION_CHECKS: dict[str, tuple[Callable[[Degradation], bool], Callable[[Subject], None]]] = {
    f.__name__: (applies, f)
    for applies, f in (
        (_always, every_param_has_a_batch_axis),
        (_always, keeps_shape_dtype_device_and_input),
        (_always, is_clean_at_zero),
        (_always, same_params_give_the_same_output),
        (_always, same_seed_gives_the_same_params),
        (_always, samples_are_independent),
        (_always, a_change_is_the_difference_of_two_severities),
        (_always, draw_each_does_not_depend_on_the_batch),
        (_always, survives_a_round_trip_through_json),
        (_always, a_perfect_restorer_is_recovered),
        (_always, half_precision_is_finite),
        (_always, runs_on_the_meta_device),
        (_always, any_size_and_batch_will_do),
        (_claimed(Claims.MONOTONE), is_monotone),
        (_claimed(Claims.LINEAR), is_linear),
        (_claimed(Claims.LINEAR), has_an_adjoint),
        (_claimed(Claims.POINTWISE), each_value_goes_its_own_way),
        (_claimed(Claims.DIFFERENTIABLE), gradients_are_those_of_the_formula),
        (_claimed(Claims.TRACEABLE), one_graph_serves_every_time),
        (lambda op: op.estimable, estimated_params_explain_the_picture),
        (lambda op: op.observable, observed_params_can_be_bound),
        (lambda op: op.projectable, what_a_picture_tells_is_kept),
        (lambda op: op.levels is not None, is_exact_on_its_levels_and_linear_between),
        (lambda op: bool(op.required_params), a_missing_param_is_named),
        (_claimed(Claims.TRACEABLE), never_waits_for_the_gpu),
    )
}
