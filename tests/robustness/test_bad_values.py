"""Tensors, times and configs: what is right is done, and what is not is refused in one line at the door."""

import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiny
from support.bad_inputs import RUN

from colddiff import GaussianBlur, GaussianNoise, PixelMask, PixelNoise, from_images, load, sample
from colddiff.degradations.base import Degradation
from colddiff.models.serialization import SHIPPED
from colddiff.samplers.algorithms import SAMPLERS
from colddiff.samplers.time_grid import MOST_STEPS, time_grid
from colddiff.samplers.unknown_params import restore
from colddiff.utils.config import field_types, registered

examples = settings(max_examples=60, deadline=None, derandomize=True, database=None)
REFUSED = (ValueError, TypeError, LookupError)
NAN, INF = math.nan, math.inf
X = torch.rand(2, 3, 6, 5, generator=torch.Generator().manual_seed(0))


def with_one(value):
    x = X.clone()
    x[1, 0, 2, 3] = value
    return x


def line_of(call, *kinds):
    """The one line that a call is refused with."""
    with pytest.raises(kinds or REFUSED) as failure:
        call()
    line = str(failure.value)
    assert line and "\n" not in line
    return line


# --- tensors ----------------------------------------------------------------------------------------------------------

DOORS = {
    "restore": lambda x: RUN.restore(x, sampler="one_shot"),
    "degrade": RUN.degrade,
    "from_images": lambda x: from_images(x).images,
    "D": lambda x: GaussianBlur()(x, 0.5),
}
EVERY = tuple(DOORS)
# What is given, where it is refused, and in which words.
TENSORS = {
    "NaN": (with_one(NAN), EVERY[:3], r"floats .*in \[0, 1\], got nan to nan: NaN and infinity are no pixels"),
    "inf": (with_one(INF), EVERY[:3], r"got .* to inf: NaN and infinity are no pixels"),
    "minus inf": (with_one(-INF), EVERY[:3], r"got -inf to .*: NaN and infinity are no pixels"),
    "0 to 255": (X * 255, EVERY[:3], r"in \[0, 1\], got .* to 2\d\d.*: divide by 255"),
    "0 to 255 in halves": ((X * 255).half(), EVERY[:3], "divide by 255"),
    "an array of 0 to 255": ((X * 255).movedim(1, -1).numpy(), EVERY[:3], "divide by 255"),
    "an array with NaN": (with_one(NAN).movedim(1, -1).numpy(), EVERY[:3], "NaN and infinity are no pixels"),
    "rank 1": (X[0, 0, 0], EVERY, r"\(B, C, H, W\)|\(N, C, H, W\)"),
    "rank 5": (X[None], EVERY, r"\(1, 2, 3, 6, 5\)"),
    "int64": ((X * 255).long(), EVERY, "int64"),
    "complex": (X.to(torch.complex64), EVERY, "complex64"),
    "no pixels": (X[..., :0], EVERY, r"\(2, 3, 6, 0\)"),
    "other channels": (X[:, :1], EVERY[:1], r"expected images \(B, 3, H, W\), got \(2, 1, 6, 5\)"),
    "another device": (X.to("meta"), EVERY[:2], "expected a dense tensor with values, got .* on meta"),
    "sparse": (X.to_sparse(), EVERY[:2], "expected a dense tensor with values, got one of torch.sparse_coo"),
    "objects": (np.full((2, 4, 4, 3), None), EVERY[:3], "object"),
    "text": (np.full((2, 4, 4, 3), "a"), EVERY[:3], "<U1"),
    "None": (None, EVERY, "NoneType"),
    "an array for D": (X.numpy(), EVERY[3:], "expected a float tensor of images .* got ndarray"),
}


@pytest.mark.parametrize(("row", "door"), [(row, door) for row, (_, doors, _) in TENSORS.items() for door in doors])
def test_what_is_no_image_is_refused_where_it_is_handed_in(row, door):
    given, _, told = TENSORS[row]
    assert re.search(told, line_of(lambda: DOORS[door](given)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("door", ["restore", "degrade", "D"])
def test_noise_on_images_and_any_float_is_taken(door, dtype):
    x = (X * 6 - 3).to(dtype)
    y = DOORS[door](x)
    assert y.dtype == dtype and y.shape == x.shape and bool(torch.isfinite(y).all())


def test_big_endian_and_backward_arrays_are_images():
    x = X[0].movedim(0, -1).numpy()
    for same in (x.astype(">f4"), x[::-1][::-1], np.asfortranarray(x)):
        assert np.allclose(RUN.restore(same, sampler="one_shot"), x, atol=1e-6)


@pytest.mark.parametrize("value", [NAN, INF])
def test_what_is_no_number_stays_none_below_the_doors(value):
    """A step looks at no values; it must not make a picture of them either."""
    D, x = GaussianBlur().bind(like=X), with_one(value)
    assert not torch.isfinite(D(x, 0.5)[1, 0]).all() and torch.isfinite(D(x, 0.5)[0]).all()
    for sampler in ("naive", "improved"):
        assert not torch.isfinite(sample(lambda y, t: y, D, x, steps=2, sampler=sampler)[1, 0]).all()


def test_no_images_are_restored_and_degraded_to_none():
    for door in ("restore", "degrade", "D"):
        assert DOORS[door](X[:0]).shape == (0, 3, 6, 5)
    op = PixelMask()
    assert [len(param) for param in op.draw_each(X[:0], []).values()] == [0 for _ in op.draw(X)]


@pytest.mark.parametrize(
    ("other", "told"),
    [(X.double(), "D was bound to .*float32, got .*float64: bind again"),
     (X[:, :, :5], r"D was bound to images \(2, 3, 6, 5\).*\(2, 3, 5, 5\)"), (X.to("meta"), "device|meta")],
    ids=["dtype", "shape", "device"],
)  # fmt: skip
def test_a_bound_degradation_takes_what_it_was_bound_to(other, told):
    D = PixelNoise().bind(PixelNoise().draw(X), like=X)
    assert re.search(told, line_of(lambda: D(other, 0.5), *REFUSED, RuntimeError))


@examples
@given(st.lists(st.floats(width=32), min_size=1, max_size=12))
def test_any_floats_are_restored_within_the_range_or_refused(values):
    x = torch.tensor(values)[None, None, None].expand(1, 3, 1, -1)
    if all(math.isfinite(v) and abs(v) < 16 for v in values):
        y = RUN.restore(x, sampler="one_shot")
        assert y.shape == x.shape and float(y.min()) >= 0 and float(y.max()) <= 1
    else:
        line_of(lambda: RUN.restore(x, sampler="one_shot"), ValueError)


# --- times ------------------------------------------------------------------------------------------------------------

TIMES = {
    "above 1": (1.5, r"times must be in \[0, 1\].* got \[1.5\]"),
    "below 0": (-0.1, r"times must be in \[0, 1\].* got \[-0.1\]"),
    "NaN": (NAN, r"times must be in \[0, 1\].* got \[nan\]"),
    "inf": (INF, r"times must be in \[0, 1\].* got \[inf\]"),
    "one of them above 1": (torch.tensor([0.5, 2.0]), r"got \[0.5, 2.0\]"),
    "too many": ([0.1, 0.2, 0.3], r"one per image \(2,\), got shape \(3,\)"),
    "of rank 2": (torch.tensor([[0.5]]), r"got shape \(1, 1\)"),
    "none": (torch.tensor([]), r"got shape \(0,\)"),
    "text": ("half", "times must be numbers in .* got 'half'"),
    "None": (None, "times must be numbers in .* got None"),
    "a dict": ({"t": 1}, "times must be numbers in"),
    "complex": (torch.tensor(0.5 + 0j), "times must be real numbers"),
}


@pytest.mark.parametrize("row", TIMES)
def test_a_time_that_is_none_is_refused(row):
    t, told = TIMES[row]
    assert re.search(told, line_of(lambda: GaussianBlur()(X, t)))
    line_of(lambda: RUN.degrade(X, t))
    if t is not None:  # which leaves it to the run
        line_of(lambda: RUN.restore(X, start=t, steps=2))


SAME_TIMES = [1, torch.tensor(1), np.float64(1), [1.0, 1.0], np.ones(2), torch.ones(2).half()]


@pytest.mark.parametrize("t", SAME_TIMES, ids=repr)
def test_a_time_of_any_kind_is_the_same_time(t):
    assert torch.equal(GaussianBlur()(X, t), GaussianBlur()(X, 1.0))


GRIDS = {
    "standing still": ([1.0, 0.5, 0.5, 0.0], "decrease strictly"), "rising": ([0.0, 1.0], "decrease strictly"),
    "one time": ([1.0], r"\(K \+ 1,\)"), "no time": ([], r"\(K \+ 1,\)"), "a number": (5, r"\(K \+ 1,\)"),
    "NaN": ([1.0, NAN], "decrease strictly"), "above 1": ([2, 0], r"in \[0, 1\]"), "below 0": ([1, -1], r"in \[0, 1\]"),
    "text": (["a", "b"], "must be numbers"), "ragged": ([[1], [1, 0]], "must be numbers"), "None": ([None], "numbers"),
    "other columns": (torch.rand(3, 3).sort(0, descending=True)[0], r"column per image, got \(3, 3\)"),
    "complex": (torch.tensor([1 + 0j, 0]), "real numbers"),
}  # fmt: skip


@pytest.mark.parametrize("row", GRIDS)
def test_a_grid_that_does_not_fall_is_refused_before_the_first_call(row):
    times, told = GRIDS[row]

    def never(x, t):
        raise AssertionError("asked")

    D = GaussianBlur().bind(like=X)
    for call in (lambda: sample(never, D, X, times=times), lambda: [*restore(never, GaussianBlur(), X, times)]):
        assert re.search(told, line_of(call))


@examples
@given(st.lists(st.one_of(st.floats(), st.floats(0, 1), st.integers(-1, 2)), max_size=6))
def test_any_floats_are_a_grid_just_where_they_fall_within_the_range(times):
    D, right = GaussianBlur().bind(like=X), len(times) > 1 and all(0 <= t <= 1 for t in times)
    right = right and all(s < t for t, s in pairwise(times))
    if right:
        assert sample(lambda x, t: x, D, X, times=times).shape == X.shape
    else:
        line_of(lambda: sample(lambda x, t: x, D, X, times=times), ValueError)


@pytest.mark.parametrize("steps", [0, -1, 1.5, True, "5", NAN, 10**12, 10**400, [3]], ids=lambda s: repr(s)[:8])
def test_a_number_of_steps_that_is_none_is_refused(steps):
    assert line_of(lambda: time_grid(steps), ValueError).startswith("steps must be")
    assert len(line_of(lambda: RUN.restore(X, steps=steps), ValueError)) < 160


def test_whole_numbers_of_any_kind_are_steps():
    assert len(time_grid(np.int64(3))) == len(time_grid(torch.tensor(3))) == 4 < MOST_STEPS


@pytest.mark.parametrize("sampler", [5, "improvd", ["improved"], object()], ids=["5", "typo", "list", "object"])
def test_what_is_no_sampler_is_refused_with_those_there_are(sampler):
    assert all(name in line_of(lambda: RUN.restore(X, steps=2, sampler=sampler)) for name in SAMPLERS)


# --- configs ----------------------------------------------------------------------------------------------------------

WORDS = ["linear", "power", "gaussian_blur", "constant", "\udcff", "a\nb"]
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.sampled_from(WORDS))
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "sigma"]), inner, max_size=2),
    max_leaves=4,
)
FIELDS = [(name, field) for name, cls in registered("colddiff.degradations").items() for field in field_types(cls)]


@settings(examples, max_examples=300)
@given(st.sampled_from(FIELDS), VALUES)
def test_any_json_in_any_field_is_a_value_that_says_itself_or_is_refused(field, value):
    try:
        op = Degradation.from_config({"type": field[0], field[1]: value})
    except REFUSED as error:
        line = str(error.args[0])
        assert line and len(line) < 5000 and "\n" not in line.replace("\\n", "")
    else:
        assert Degradation.from_config(json.loads(json.dumps(op.to_config(), allow_nan=False))) == op


@pytest.mark.parametrize(
    ("config", "told"),
    [({"type": "gaussian_blur", "sigma": 3}, "no field 'sigma'.*did you mean 'sigma_max'"),
     ({"type": "gaussian_blur", "sigma_max": "3"}, "sigma_max must be float, got '3'"),
     ({"type": "gaussian_blur", "sigma_max": -3}, "sigma_max must be > 0 pixels.* got -3"),
     ({"type": "gaussian_blur", "sigma_max": NAN}, "sigma_max must be .* got nan"),
     ({"type": "gaussian_noise", "betas": {"num_steps": 0}}, "num_steps must be"),
     ({"type": "of_the_future"}, "no degradation is named 'of_the_future'"), ({}, "expected a name or"),
     (3, "expected a name or"), ([], "expected a name or")], ids=str,
)  # fmt: skip
def test_a_config_that_is_none_is_told_field_expectation_and_what_came(config, told):
    assert re.search(told, line_of(lambda: Degradation.from_config(config)))


RUNS = {
    "a newer format": ({"format": 99}, "format 99.*upgrade colddiff"),
    "an older format": ({"format": 0}, "format 0.*train it again"),
    "no format": ({"format": None}, "format None"),
    "another library": ({"library": "diffusers"}, "is not a colddiff run's config"),
    "an unknown operator": ({"degradation": {"type": "of_the_future"}}, "no degradation is named 'of_the_future'"),
    "an unknown field": ({"degradation": {"type": "gaussian_blur", "colour": 1}}, "no field 'colour'"),
    "no degradation": ({"degradation": None}, "expected a name or|degradation"),
}


@pytest.mark.parametrize("row", RUNS)
def test_a_run_from_elsewhere_is_refused_in_words(row, tmp_path):
    changes, told = RUNS[row]
    for file in (SHIPPED / "digits").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    assert re.search(told, line_of(lambda: load(tmp_path, device="cpu")))


def test_what_has_noise_takes_no_wrong_params():
    op = GaussianNoise()
    assert "must have shape (2, 3, 6, 5)" in line_of(lambda: op(X, 0.5, {"noise": X[..., :2]}))
    assert "one row per image" in line_of(lambda: op(X, 0.5, {"noise": X[:1]}))
    assert "got list" in line_of(lambda: op(X, 0.5, {"noise": [1]}))
    run = tiny.run_of(tiny.Same(), op, (3, 6, 5))
    assert "leave the mask out" in line_of(lambda: run.restore(X, mask=X[:, :1] > 0.5, steps=1))
