"""The contract catches what it is there to catch: for each promise, an operator or a sampler that breaks just that."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from colddiff import Claims, Degradation, Params, PixelMask, State, improved, naive
from colddiff.degradations.levels import level_at
from colddiff.samplers.base import Restorer, Sampler
from colddiff.testing import (
    DegradationContract,
    check_degradation,
    check_degradation_promise,
    check_sampler,
    check_sampler_promise,
    degradation_promises,
    sampler_promises,
)
from colddiff.testing.degradations import DEGRADATION_CHECKS
from colddiff.testing.reporting import examples_of
from colddiff.utils.config import register

_calls = itertools.count(1)


@register("a_sound_operator_of_the_tests")
@dataclass(frozen=True, kw_only=True)
class Sound(Degradation):
    """x + s e: what every broken operator below differs from in a line."""

    def __init_subclass__(cls) -> None:
        register(f"broken_{cls.__name__}")(cls)

    def degrade(self, x, s, params):
        return x + s * params["e"]

    def draw(self, like, generator=None):
        e = torch.randn(like.shape, generator=generator)
        return {"e": e.to(like.device, torch.promote_types(like.dtype, torch.float32))}


class SoundInEveryWay(Sound):
    """It claims nearly all there is to claim and keeps it."""

    levels = 10
    required_params = ("endpoint",)
    claims = Claims.LINEAR | Claims.MONOTONE | Claims.DIFFERENTIABLE | Claims.TRACEABLE | Claims.POINTWISE

    def degrade(self, x, s, params):
        level, fraction = level_at(s, self.levels)
        return x * (1 - (level.reshape(-1, 1, 1, 1) + fraction) / self.levels) + 0 * params["endpoint"]

    def observe(self, x_t, t, mask=None):
        return {"endpoint": x_t}


class SoundAndEstimable(Sound):
    def estimate(self, x_t, x0, t, params):
        return {"e": (x_t - x0) / t.to(x_t.dtype).clamp(min=1e-9).reshape(-1, 1, 1, 1)}


class ChangesByItsOwnRule(Sound):
    def change(self, x, s, r, params):
        return (r - s) * params["e"] * (1 + 2e-7 * (r > 0))


class RowsOfBatchesOnly(Sound):
    def draw(self, like, generator=None):
        params = super().draw(like, generator)
        return params | {"extra": torch.zeros(max(len(like), 2), device=like.device)} if len(like) < 2 else params


class CountsInItsParams(Sound):
    def degrade(self, x, s, params):
        params["calls"].add_(1)
        return super().degrade(x, s, params)

    def draw(self, like, generator=None):
        return super().draw(like, generator) | {"calls": torch.zeros(len(like), device=like.device)}


class WritesIntoItsInput(Sound):
    def degrade(self, x, s, params):
        return x.add_(s * params["e"])


class AlmostCleanAtZero(Sound):
    def degrade(self, x, s, params):
        return x + (s + 1e-11) * params["e"]


class CleanOnlyWhenAllAre(Sound):
    def degrade(self, x, s, params):
        return x + (s + 1e-11 * s.max()) * params["e"]


class RandomAtEachCall(Sound):
    def degrade(self, x, s, params):
        return super().degrade(x, s, params) + s * 1e-12 * next(_calls)


class RemembersItsDraws(Sound):
    def draw(self, like, generator=None):
        return {"e": super().draw(like, generator)["e"].double() + 1e-12 * next(_calls)}


class TakesGlobalNumbers(Sound):
    def draw(self, like, generator=None):
        torch.rand(1)
        return super().draw(like, generator)


class SeesTheBatch(Sound):
    def degrade(self, x, s, params):
        return x + s * (params["e"] + x.mean(dim=0, keepdim=True))


class DrawsForTheWholeBatch(Sound):
    def draw_each(self, like, generators):
        return self.draw(like, generators[0])


@register("forgets_a_field")
@dataclass(frozen=True, kw_only=True)
class ForgetsAField(Degradation):
    strength: float = 0.5

    def degrade(self, x, s, params):
        return x + s * self.strength * (1 - 2 * x)

    def to_config(self):
        return {"type": "forgets_a_field"}


class LosesItsDigits(Sound):
    """So far from the image that what should cancel along a walk does not."""

    def degrade(self, x, s, params):
        return x + s * params["e"] * (1e11 if x.dtype == torch.float64 else 1)


class OverflowsInHalf(Sound):
    def degrade(self, x, s, params):
        return x + s * params["e"] * 1e5


class LooksAtValues(Sound):
    def degrade(self, x, s, params):
        return super().degrade(x, s, params) if bool((s >= 0).all()) else x


class DropsTheOddRow(Sound):
    def degrade(self, x, s, params):
        return super().degrade(x, s, params)[..., : x.shape[-2] // 2 * 2, :]


class ComesBack(Sound):
    claims = Claims.MONOTONE

    def degrade(self, x, s, params):
        return x + s * (1.2 - s) * params["e"]


class IsAffine(Sound):
    claims = Claims.LINEAR

    def degrade(self, x, s, params):
        return x + s * 0.5


class SpillsOver(Sound):
    claims = Claims.POINTWISE
    projectable = False  # which rests on that claim

    def degrade(self, x, s, params):
        return x + s * (x.roll(1, dims=-1) - x)


class Bends(Sound):
    claims = Claims.POINTWISE
    projectable = False

    def degrade(self, x, s, params):
        return x + s * (x**2 - x)


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return 2 * grad


class HasAWrongAdjoint(Sound):
    claims = Claims.LINEAR

    def degrade(self, x, s, params):
        return _Doubled.apply(x) * (1 - s)


class HasAWrongGradient(Sound):
    claims = Claims.DIFFERENTIABLE

    def degrade(self, x, s, params):
        return _Doubled.apply(x) + s * params["e"]


class HasNoGradientInTime(Sound):
    claims = Claims.DIFFERENTIABLE

    def degrade(self, x, s, params):
        return torch.where(s > 0, x + s * params["e"] + 0 * torch.where(s > 5, s.sqrt(), (s - s).sqrt()), x)


class BreaksTheGraph(Sound):
    claims = Claims.TRACEABLE

    def degrade(self, x, s, params):
        torch._dynamo.graph_break()
        return super().degrade(x, s, params)


class TracesEachTime(Sound):
    """Python control flow on the number of a step that it keeps outside the graph."""

    claims = Claims.TRACEABLE
    steps: ClassVar[list[int]] = [0]

    def degrade(self, x, s, params):
        type(self).steps[0] += 1
        return x + s * params["e"] * (1 if type(self).steps[0] > 0 else 2)


class EstimatesHalf(Sound):
    def estimate(self, x_t, x0, t, params):
        return {"e": (x_t - x0) / 2}


class KeepsNothing(Sound):
    def projection(self, y, s, params, noise):
        return lambda x: x


class ObservesNothing(Sound):
    def observe(self, x_t, t, mask=None):
        return {"e": torch.full_like(x_t, torch.nan)}


class MissesItsLevels(Sound):
    levels = 10

    def degrade(self, x, s, params):
        return x + s**2 * params["e"]


class SnapsNoLevel(Sound):
    levels = 10

    def degrade(self, x, s, params):
        return x + ((s * 10).floor() / 10) * params["e"]


class FailsWithoutAName(Sound):
    @property
    def required_params(self):
        return ("colour",)

    def _checked(self, params, like):
        if "colour" not in params:
            raise TypeError("something is missing")
        return super()._checked(params, like)

    def degrade(self, x, s, params):
        return x + s * (params["colour"] - x)


class InventsWhatIsMissing(FailsWithoutAName):
    def _checked(self, params, like):
        return super()._checked({"colour": torch.zeros_like(like)} | params, like)


class BorrowsItsShape(Sound):
    def degrade(self, x, s, params):
        return super().degrade(x, s, params)[:, :1]


@register("turns")
@dataclass(frozen=True, kw_only=True)
class Turns(Degradation):
    """A param that is no image: checked to be a number per image."""

    required_params = ("angle",)

    def degrade(self, x, s, params):
        if params["angle"].dim() != 1:
            raise TypeError("angle must be (B,)")
        return x * torch.cos(s * params["angle"].reshape(-1, 1, 1, 1))


BROKEN = {
    ChangesByItsOwnRule: "a_change_is_the_difference_of_two_severities",
    CountsInItsParams: "keeps_shape_dtype_device_and_input",
    AlmostCleanAtZero: "is_clean_at_zero",
    CleanOnlyWhenAllAre: "is_clean_at_zero",
    RandomAtEachCall: "same_params_give_the_same_output",
    RemembersItsDraws: "same_seed_gives_the_same_params",
    TakesGlobalNumbers: "same_seed_gives_the_same_params",
    SeesTheBatch: "samples_are_independent",
    DrawsForTheWholeBatch: "draw_each_does_not_depend_on_the_batch",
    OverflowsInHalf: "half_precision_is_finite",
    LosesItsDigits: "a_perfect_restorer_is_recovered",
    LooksAtValues: "runs_on_the_meta_device",
    DropsTheOddRow: "any_size_and_batch_will_do",
    ComesBack: "is_monotone",
    IsAffine: "is_linear",
    HasAWrongAdjoint: "has_an_adjoint",
    SpillsOver: "each_value_goes_its_own_way",
    Bends: "each_value_goes_its_own_way",
    HasAWrongGradient: "gradients_are_those_of_the_formula",
    HasNoGradientInTime: "gradients_are_those_of_the_formula",
    BreaksTheGraph: "one_graph_serves_every_time",
    TracesEachTime: "one_graph_serves_every_time",
    EstimatesHalf: "estimated_params_explain_the_picture",
    KeepsNothing: "what_a_picture_tells_is_kept",
    ObservesNothing: "observed_params_can_be_bound",
    MissesItsLevels: "is_exact_on_its_levels_and_linear_between",
    SnapsNoLevel: "is_exact_on_its_levels_and_linear_between",
    FailsWithoutAName: "a_missing_param_is_named",
    InventsWhatIsMissing: "a_missing_param_is_named",
}


def broken_promises(op: Degradation) -> set[str]:
    found = set()
    for promise in degradation_promises(op):
        if promise == "never_waits_for_the_gpu":
            continue
        try:
            check_degradation_promise(op, promise)
        except AssertionError:
            found.add(promise)
    return found


class WaitsForTheDevice(Sound):
    def degrade(self, x, s, params):
        return super().degrade(x, s, params) if x.device.type == "meta" or float(s.max()) >= 0 else x


@pytest.mark.parametrize("kind", [Sound, SoundInEveryWay, SoundAndEstimable])
def test_a_sound_operator_passes(kind: type[Degradation]) -> None:
    assert broken_promises(kind()) == set()
    check_degradation(kind())


def test_between_them_the_sound_operators_claim_everything() -> None:
    claimed = {*degradation_promises(SoundInEveryWay()), *degradation_promises(SoundAndEstimable())}
    assert claimed == set(DEGRADATION_CHECKS)


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_a_broken_operator_fails_just_the_promise_it_breaks(kind: type[Degradation]) -> None:
    assert broken_promises(kind()) == {BROKEN[kind]}


def test_an_operator_that_forgets_a_field_fails_the_round_trip() -> None:
    assert broken_promises(ForgetsAField(strength=0.3)) == {"survives_a_round_trip_through_json"}


@pytest.mark.parametrize(
    ("kind", "promise"),
    [
        (RowsOfBatchesOnly, "every_param_has_a_batch_axis"),
        (WritesIntoItsInput, "keeps_shape_dtype_device_and_input"),
        (BorrowsItsShape, "keeps_shape_dtype_device_and_input"),
    ],
)
def test_where_much_breaks_at_once_the_cause_is_named_first(kind: type[Degradation], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_degradation(kind())


def test_every_promise_is_seen_to_be_broken() -> None:
    covered = {*BROKEN.values(), "survives_a_round_trip_through_json", "every_param_has_a_batch_axis"}
    assert set(DEGRADATION_CHECKS) - covered == {"never_waits_for_the_gpu"}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_operator_that_waits_for_the_device_is_caught() -> None:
    with pytest.raises(AssertionError, match="never_waits_for_the_gpu"):
        check_degradation_promise(WaitsForTheDevice(), "never_waits_for_the_gpu")


def test_a_failure_names_the_example_and_says_what_is_wrong() -> None:
    with pytest.raises(AssertionError, match=r"ForgetsAField\(strength=0.3\) breaks .*another object, ForgetsAField"):
        check_degradation(ForgetsAField(strength=0.3))


def test_what_needs_colours_may_refuse_grey() -> None:
    check_degradation(PixelMask(fill=(0.1, 0.2, 0.3)))


def test_params_that_are_no_images_can_be_supplied() -> None:
    def supply(op: Degradation, like: Tensor) -> Params:
        return {"angle": torch.linspace(0, 1, len(like), dtype=torch.float64).to(like.device)}

    check_degradation(Turns(), supply)
    with pytest.raises(AssertionError, match="Turns"):
        check_degradation(Turns())


def test_a_contract_without_examples_is_refused() -> None:
    class Empty(DegradationContract):
        pass

    with pytest.raises(ValueError, match="Empty lists no examples"):
        examples_of(Empty())


def keeps_gradients_off(R: Restorer, D: Any, x: Tensor, times: Tensor, *, generator: Any = None) -> Iterator[State]:
    torch.set_grad_enabled(False)
    yield from improved(R, D, x, times, generator=generator)


def leaves_gradients_on(R: Restorer, D: Any, x: Tensor, times: Tensor, *, generator: Any = None) -> Iterator[State]:
    for t, s in pairwise(times.reshape(len(times), -1).expand(-1, len(x))):
        x0 = R(x, t)
        x = D(x0, s)
        yield State(x, x0, s)


def asks_twice(R: Restorer, D: Any, x: Tensor, times: Tensor, *, generator: Any = None) -> Iterator[State]:
    def again(x: Tensor, t: Tensor) -> Tensor:
        R(x, t)
        return R(x, t)

    return naive(again, D, x, times, generator=generator)


def tells_the_next_time(R: Restorer, D: Any, x: Tensor, times: Tensor, *, generator: Any = None) -> Iterator[State]:
    return naive(lambda x, t: R(x, t / 2), D, x, times, generator=generator)


def stops_short(R: Restorer, D: Any, x: Tensor, times: Tensor, *, generator: Any = None) -> Iterator[State]:
    return (State(s.x, s.x0, s.t.clamp(min=1e-3)) for s in naive(R, D, x, times, generator=generator))


def stays_damaged(R: Restorer, D: Any, x: Tensor, times: Tensor, *, generator: Any = None) -> Iterator[State]:
    return (State(s.x + 1e-3, s.x0, s.t) for s in naive(R, D, x, times, generator=generator))


def looks_at_the_first_column(
    R: Restorer, D: Any, x: Tensor, times: Tensor, *, generator: Any = None
) -> Iterator[State]:
    return naive(R, D, x, times[:, 0] if times.dim() == 2 else times, generator=generator)


def makes_its_own_noise(R: Restorer, D: Any, x: Tensor, times: Tensor, *, generator: Any = None) -> Iterator[State]:
    for s in naive(R, D, x, times, generator=generator):
        yield State(s.x + 1e-12 * torch.rand_like(s.x), s.x0, s.t)


def writes_into_the_first(R: Restorer, D: Any, x: Tensor, times: Tensor, *, generator: Any = None) -> Iterator[State]:
    for state in naive(R, D, x, times, generator=generator):
        with torch.no_grad():
            x.mul_(0.5)
        yield state


BROKEN_SAMPLERS = {
    keeps_gradients_off: "the_gradient_mode_is_left_as_it_was",
    leaves_gradients_on: "the_gradient_mode_is_left_as_it_was",
    asks_twice: "the_restorer_is_told_the_time_of_its_picture",
    tells_the_next_time: "the_restorer_is_told_the_time_of_its_picture",
    stops_short: "times_fall_to_the_end_of_the_grid",
    stays_damaged: "a_perfect_restorer_leads_to_x0",
    looks_at_the_first_column: "a_column_per_image_equals_one_by_one",
    makes_its_own_noise: "a_seed_makes_the_walk_repeatable",
    writes_into_the_first: "the_first_picture_is_not_written_to",
    naive: "any_restorer_is_forgiven_on_a_line",
}


@pytest.mark.parametrize("sampler", BROKEN_SAMPLERS, ids=lambda sampler: sampler.__name__)
def test_a_broken_sampler_fails_just_the_promise_it_breaks(sampler: Sampler) -> None:
    found = set()
    for promise in sampler_promises(forgiving=sampler is naive):
        with torch.set_grad_enabled(True):
            try:
                check_sampler_promise(sampler, promise)
            except AssertionError:
                found.add(promise)
    assert found == {BROKEN_SAMPLERS[sampler]}


def test_every_promise_of_a_sampler_is_seen_to_be_broken() -> None:
    assert set(BROKEN_SAMPLERS.values()) == set(sampler_promises(forgiving=True))


def test_sound_samplers_pass_outside_pytest() -> None:
    check_sampler(naive)
    check_sampler(improved, forgiving=True)
    check_sampler(asks_twice, calls_per_step=2)
    with pytest.raises(AssertionError, match=r"^naive breaks 'any_restorer_is_forgiven_on_a_line'"):
        check_sampler(naive, forgiving=True)


def test_a_sampler_that_serves_nothing_is_refused() -> None:
    def serves_nothing(R: Restorer, D: Any, x: Tensor, times: Tensor, *, generator: Any = None) -> Iterator[State]:
        raise NotImplementedError

    with pytest.raises(AssertionError, match="serves none"):
        check_sampler(serves_nothing)
