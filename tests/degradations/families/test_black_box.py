"""Anybody's image function as a degradation."""

import copy
import functools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import kornia
import numpy as np
import pytest
import torch
from kornia import augmentation
from PIL import Image, ImageOps
from support import tiny

from colddiff import (
    Claims,
    Compose,
    Degradation,
    GaussianBlur,
    OneOf,
    Power,
    from_callable,
    from_kornia,
    improved,
    load,
    naive,
    sample,
    train,
)
from colddiff.degradations.families import black_box
from colddiff.testing import check_degradation
from colddiff.testing.reporting import seeded
from colddiff.utils.config import registered


@pytest.fixture
def no_global_randomness():
    """Torch's own generator is where it was."""
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)


def darker(image, amount):
    return image * (1 - amount)


# --- kinds of images -------------------------------------------------------------------------------------------------


def test_a_tensor_is_given_as_it_is_and_may_lie_outside_the_range(images):
    x = 3 * images(2, 2, 5, 4) - 1
    assert torch.equal(from_callable(darker)(x, 0.5), x * 0.5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("kind", "fn", "seen"),
    [
        ("numpy", lambda im, a: 1 - im, lambda im: (im.dtype, im.ndim, float(im.max()) <= 1)),
        ("uint8", lambda im, a: 255 - im, lambda im: (im.dtype, im.ndim, int(im.max()) <= 255)),
        ("pillow", lambda im, a: ImageOps.invert(im), lambda im: (im.mode, im.size)),
    ],
)
def test_each_kind_of_image_is_given_and_taken_back(kind, fn, seen, channels, images):
    x, told = (images(2, channels, 5, 4, dtype=torch.float32) * 255).round() / 255, []

    def watched(image, amount):
        told.append(seen(image))
        return fn(image, amount)

    y = from_callable(watched, images=kind)(x, 1.0)
    assert y.dtype == torch.float32 and torch.allclose(y, 1 - x, atol=1e-6)
    picture = ("L" if channels == 1 else "RGB", (4, 5))
    expected = {"numpy": (np.float32, 3, True), "uint8": (np.uint8, 3, True), "pillow": picture}
    assert told == [expected[kind]] * 2


@pytest.mark.parametrize("kind", ["numpy", "uint8", "pillow"])
def test_pixels_outside_the_range_are_clipped_where_a_kind_has_none(kind):
    x = torch.tensor([-0.5, 0.0, 1.0, 7.0]).reshape(1, 1, 2, 2)
    assert from_callable(lambda im, a: im, images=kind)(x, 1.0).flatten().tolist() == [0, 0, 1, 1]


def test_grey_arrays_may_come_back_without_their_channel_and_reversed(images):
    x = images(1, 1, 5, 4)
    y = from_callable(lambda im, a: im[::-1, :, 0], images="numpy")(x, 1.0)
    assert torch.allclose(y, x.flip(2), atol=1e-6)


@pytest.mark.parametrize("mode", ["P", "1", "RGBA", "L"])
def test_a_pillow_picture_of_any_mode_is_taken_back(mode, images):
    x = images(1, 3, 6, 6, dtype=torch.float32)
    y = from_callable(lambda im, a: im.convert(mode), images="pillow")(x, 1.0)
    with_pillow = Image.fromarray((x[0] * 255).round().byte().permute(1, 2, 0).numpy()).convert(mode).convert("RGB")
    assert torch.equal((y[0] * 255).round().byte().permute(1, 2, 0), torch.from_numpy(np.array(with_pillow)))


def test_an_amount_is_a_straight_line_or_a_function(images):
    x, told = images(1, 1, 4, 4), []
    for severity in ((2.0, 10.0), [2, 10], lambda s: 2 + 8 * s):
        from_callable(lambda im, a: told.append(a) or im, severity=severity)(x, 0.25)
    assert told == pytest.approx([4.0] * 3)
    from_callable(lambda im, a: told.append(a) or im, severity=lambda s: round(100 - 90 * s))(x, 0.5)
    assert told[-1] == 55 and isinstance(told[-1], int)


def test_a_schedule_of_ones_own_warps_the_amount(images):
    op = replace(from_callable(darker), schedule=Power(exponent=2))
    x = images(1, 1, 4, 4)
    assert torch.equal(op(x, 0.5), x * 0.75)


@pytest.mark.parametrize(
    "fn", [darker, functools.partial(darker), type("Darker", (), {"__call__": lambda _, *a: darker(*a)})()]
)
def test_whatever_can_be_called_is_a_function(fn, images):  # fmt: skip
    x = images(1, 1, 4, 4)
    assert torch.equal(from_callable(fn)(x, 0.5), x / 2)


def test_a_function_may_write_into_its_image(images):
    def holed(image, amount):
        image[:, 1:3] = 0
        return image

    x = images(2, 3, 5, 4)
    before = x.clone()
    for op in (from_callable(holed), from_kornia(lambda x: x.mul_(0))):
        assert not torch.equal(op(x, torch.tensor([0.0, 1.0]))[1], x[1])
        assert torch.equal(x, before)


# --- times and params ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drawn", [None, lambda g: {"shade": torch.rand((), generator=g)}])
def test_a_black_box_is_only_asked_where_t_is_above_zero(drawn, images):
    asked = []

    def counted(image, amount, shade=0.0):
        asked.append(amount)
        return image * 0

    x, op = images(4, 1, 5, 4), from_callable(counted, severity=(0, 10), draw=drawn)
    y = op(x, torch.tensor([0.0, 0.5, 0.0, 1.0]), op.draw(x, seeded(0)))
    assert asked == [5.0, 10.0] and torch.equal(y[[0, 2]], x[[0, 2]]) and not y[[1, 3]].any()
    op(x, 0.0, op.draw(x, seeded(0)))
    assert len(asked) == 2


def test_an_augmentation_is_only_asked_where_t_is_above_zero(images, monkeypatch):
    op = from_kornia(augmentation.RandomGamma((2.0, 3.0), p=1.0))
    x, asked, original = images(3, 3, 5, 4), [], type(type(op).op).forward
    monkeypatch.setattr(type(type(op).op), "forward", lambda *a, **k: asked.append(1) or original(*a, **k))
    op(x, torch.tensor([0.0, 0.5, 1.0]), op.draw(x, seeded(0)))
    assert len(asked) == 2


def test_a_batch_function_never_sees_a_severity_of_nothing(images):
    seen = []
    op = from_kornia(lambda x, s: seen.append(s) or x * 0, severity=lambda s: {"s": s})
    x = images(2, 1, 4, 4)
    assert torch.equal(op(x, torch.tensor([0.0, 0.5]))[0], x[0]) and seen[0].tolist() == [1.0, 0.5]


def test_what_is_drawn_is_passed_by_name_number_as_number_and_tensor_as_tensor(images):
    told = []

    def fn(image, amount, **drawn):
        told.append(drawn)
        return image

    rows = iter([{"k": 3, "z": torch.ones(2), "on": True}, {"k": np.float32(4), "z": np.zeros(2), "on": False}])
    op, x = from_callable(fn, draw=lambda g: next(rows)), images(2, 1, 4, 4)
    params = op.draw(x, seeded(0))
    assert {name: tuple(v.shape) for name, v in params.items()} == {"k": (2,), "z": (2, 2), "on": (2,)}
    op(x, 1.0, params)
    assert [row["k"] for row in told] == [3, 4] and [row["z"].tolist() for row in told] == [[1, 1], [0, 0]]
    assert [bool(row["on"]) for row in told] == [True, False] and not isinstance(told[0]["k"], torch.Tensor)


def fog(draw):
    return from_callable(lambda im, a, light: im + a * (light - im), draw=draw)


def test_a_trajectory_keeps_what_was_drawn_for_it(images, no_global_randomness):
    drawn = []
    op = fog(lambda g: drawn.append(torch.rand((), generator=g)) or {"light": drawn[-1]})
    x0 = images(2, 1, 4, 4, dtype=torch.float32)
    D = op.bind(op.draw(x0, seeded(0)), like=x0)
    for sampler in (improved, naive):
        assert torch.allclose(sample(lambda x, t: x0, D, D(x0, 1.0), steps=4, sampler=sampler), x0, atol=1e-6)
    assert len(drawn) == 2


def test_each_image_has_draws_of_its_own_and_a_seed_decides_them(images, no_global_randomness):
    op, x = fog(lambda g: {"light": torch.rand((), generator=g)}), images(3, 1, 4, 4)
    light = op.draw(x, seeded(0))["light"]
    assert len(set(light.tolist())) == 3 and torch.equal(light, op.draw(x, seeded(0))["light"])
    each = op.draw_each(x, [seeded(i) for i in range(3)])["light"]
    assert torch.equal(each[1:2], op.draw_each(x[1:2], [seeded(1)])["light"])


def test_without_a_generator_the_draws_are_torchs_own(images):
    for op in (fog(lambda g: {"light": torch.rand((), generator=g)}), from_kornia(AUGMENTATIONS["gamma"])):
        drawn = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            drawn.append(next(iter(op.draw(images(1, 3, 4, 4)).values())))
        assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_random_ones_ask_for_params_and_others_do_not(images):
    x = images(1, 3, 4, 4)
    assert from_callable(darker).deterministic and from_callable(darker)(x, 1.0).shape == x.shape
    assert from_kornia(torch.sigmoid).deterministic and from_callable(darker).draw(x) == {}
    for op in (fog(lambda g: {"light": 1.0}), from_kornia(augmentation.RandomGamma(p=1.0))):
        with pytest.raises(TypeError, match="is random: pass params"):
            op(x, 1.0)


# --- Kornia ----------------------------------------------------------------------------------------------------------

AUGMENTATIONS = {
    "gamma": augmentation.RandomGamma((2.0, 4.0), p=1.0),
    "gamma of some": augmentation.RandomGamma((2.0, 4.0), p=0.5),
    "noise": augmentation.RandomGaussianNoise(p=1.0),
    "shadow": augmentation.RandomPlasmaShadow(p=1.0),
    "colours": augmentation.ColorJitter(0.3, 0.3, 0.3, 0.3, p=1.0),
    "hole": augmentation.RandomErasing(p=1.0),
    "salt": augmentation.RandomSaltAndPepperNoise(p=1.0),
    "motion": augmentation.RandomMotionBlur(3, 35.0, 0.5, p=1.0),
    "rotation": augmentation.RandomRotation(30.0, p=1.0),
}


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_draws_from_our_generator_only(name, images, no_global_randomness, monkeypatch):
    def forbidden(seed):
        raise AssertionError("it would move the generators of the GPUs too")

    monkeypatch.setattr(torch, "manual_seed", forbidden)
    x, op = images(4, 3, 16, 16, dtype=torch.float32), from_kornia(AUGMENTATIONS[name])
    params = op.draw(x, seeded(0))
    again = op.draw(x, seeded(0))
    assert params and all(torch.equal(params[k], again[k]) for k in params)
    assert all(len(v) == 4 for v in params.values())
    y = op(x, 1.0, params)
    assert torch.equal(op(x, 1.0, params), y) and not torch.equal(op(x, 1.0, op.draw(x, seeded(1))), y)
    one = {k: v[2:3] for k, v in params.items()}
    assert torch.equal(op(x[2:3], 1.0, one), y[2:3]), "an image depends on its batch"


def test_a_drawn_param_is_what_kornia_uses(images):
    x = images(2, 3, 5, 4, dtype=torch.float32)
    op = from_kornia(augmentation.RandomGamma((2.0, 4.0), (1.0, 1.0), p=1.0))
    params = op.draw(x, seeded(0))
    factors = params["gamma_factor"].reshape(2, 1, 1, 1)
    assert float(factors.min()) >= 2 and factors[0] != factors[1]
    assert torch.allclose(op(x, 1.0, params), x**factors, atol=1e-5)
    halfway = (x + x**factors) / 2
    assert torch.allclose(op(x, 0.5, params), halfway, atol=1e-5), "left out, severity is a straight line"


def test_a_severity_tells_how_much_of_the_drawn_params_is_used(images):
    op = from_kornia(
        augmentation.RandomGamma((2.0, 4.0), (1.0, 1.0), p=1.0),
        severity=lambda s, drawn: drawn | {"gamma_factor": 1 + s * (drawn["gamma_factor"] - 1)},
    )
    x = images(2, 3, 5, 4, dtype=torch.float32)
    params = op.draw(x, seeded(0))
    factors = 1 + 0.5 * (params["gamma_factor"].reshape(2, 1, 1, 1) - 1)
    assert torch.allclose(op(x, 0.5, params), x**factors, atol=1e-5)


def test_a_kornia_function_has_an_amount_per_image(images):
    op = from_kornia(kornia.enhance.adjust_gamma, severity=lambda s: {"gamma": 1 + 4 * s})
    x, t = images(3, 3, 5, 4), torch.tensor([0.25, 0.5, 1.0])
    assert torch.allclose(op(x, t), x ** (1 + 4 * t).reshape(3, 1, 1, 1), atol=1e-6)


def test_an_augmentation_that_was_moved_to_a_device_draws_on_the_cpu_all_the_same(images):
    x, aug = images(2, 3, 6, 6, dtype=torch.float32), augmentation.RandomGamma((2.0, 4.0), p=0.5)
    expected = from_kornia(aug).draw(x, seeded(0))
    moved = copy.deepcopy(aug).to("meta")
    found = from_kornia(moved).draw(x, seeded(0))
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)
    assert moved.device.type == "meta", "it is where its owner put it"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_draws_the_same_for_a_gpu(name, images):
    x, aug = images(2, 3, 16, 16, dtype=torch.float32), AUGMENTATIONS[name]
    params = from_kornia(aug).draw(x, seeded(0))
    op, before = from_kornia(copy.deepcopy(aug).cuda()), torch.cuda.get_rng_state()
    found = op.draw(x.cuda(), seeded(0))
    assert all(v.is_cuda and torch.equal(v.cpu(), params[k]) for k, v in found.items())
    y = op(x.cuda(), 1.0, found)
    assert torch.equal(op(x.cuda(), 1.0, found), y) and torch.equal(torch.cuda.get_rng_state(), before)


@pytest.mark.parametrize("container", [augmentation.AugmentationSequential, augmentation.ImageSequential])
def test_a_container_of_augmentations_is_refused(container):
    with pytest.raises(TypeError, match=f"{container.__name__} holds several augmentations: give them one by one"):
        from_kornia(container(augmentation.RandomGamma(p=1.0)))


def test_several_augmentations_are_composed_with_params_of_their_own(images):
    op = Compose(parts=[from_kornia(AUGMENTATIONS[name]) for name in ("gamma", "gamma", "noise")])
    x = images(2, 3, 6, 6)
    params = op.draw(x, seeded(0))
    assert not torch.equal(params["0.gamma_factor"], params["1.gamma_factor"])
    assert torch.equal(op(x, 0.5, params), op(x, 0.5, params))


# --- mistakes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["one image", "one of several"])
def test_a_function_that_changes_the_shape_is_told_so(where, images):
    x, cut = images(3, 3, 6, 5), iter([0, 0, 1])

    def cropped(image, amount):
        return image[:, : -1 if where == "one image" or next(cut) else None]

    with pytest.raises(ValueError, match=r"cropped must keep the shape of images, \(3, 6, 5\), but gave \(3, 5, 5\)"):
        from_callable(cropped)(x, 1.0)
    with pytest.raises(ValueError, match=r"must keep the shape of images, \(3, 3, 6, 5\), but gave \(3, 3, 12, 10\)"):
        from_kornia(kornia.geometry.pyrup)(x, 1.0)


@pytest.mark.parametrize(
    ("kind", "answer", "told"),
    [
        ("numpy", None, '"numpy", but gave NoneType'),
        ("tensor", [[1.0]], r"must keep the shape of images, \(3, 4, 4\), but gave \(1, 1, 1\)"),
        ("uint8", np.zeros((4, 4, 3)), '"uint8", but gave float64'),
        ("pillow", np.zeros((4, 4, 3)), '"pillow", but gave float64'),
        ("numpy", np.zeros((4, 4, 3), np.int64), '"numpy", but gave int64'),
        ("numpy", np.float64(3), r"but gave \(1,\)"),
        ("numpy", np.zeros((1, 4, 4, 3)), r"but gave \(1, 1, 4, 4, 3\)"),
    ],
)
def test_an_answer_that_is_no_image_is_told_so(kind, answer, told, images):
    with pytest.raises((TypeError, ValueError), match=told):
        from_callable(lambda im, a: answer, images=kind)(images(1, 3, 4, 4), 1.0)


def test_a_pillow_picture_has_one_channel_or_three(images):
    with pytest.raises(ValueError, match="a Pillow picture has 1 or 3 channels, got 2"):
        from_callable(lambda im, a: im, images="pillow")(images(1, 2, 4, 4), 1.0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"fn": 3}, "expected a function of images, got 3"),
        ({"fn": darker, "severity": 3}, "severity must be a function of s, or the amounts"),
        ({"fn": darker, "severity": (1, 2, 3)}, "severity must be a function of s, or the amounts"),
        ({"fn": darker, "images": "pilow"}, "images must be one of tensor, numpy, uint8, pillow, got 'pilow'"),
    ],
)
def test_what_makes_no_degradation_is_told_when_it_is_made(arguments, told):
    with pytest.raises((TypeError, ValueError), match=told):
        from_callable(**arguments)


@pytest.mark.parametrize("drawn", [3, {"k": "a"}, {"k": None}, [1]])
def test_a_draw_gives_numbers_by_name(drawn, images):
    op = from_callable(darker, draw=lambda g: drawn)
    with pytest.raises(TypeError, match="draw of darker must give numbers or tensors by name, gave"):
        op.draw(images(1, 1, 4, 4), seeded(0))


def test_draws_of_different_shapes_are_refused(images):
    sizes = iter([1, 2] * 2)
    op, x = from_callable(darker, draw=lambda g: {"k": torch.zeros(next(sizes))}), images(2, 1, 4, 4)
    for draw in (lambda: op.draw(x, seeded(0)), lambda: op.draw_each(x, [seeded(0), seeded(1)])):
        with pytest.raises(ValueError, match="must be of one shape for every image"):
            draw()


def test_an_error_of_the_function_is_its_own(images):
    def fails(image, amount):
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        from_callable(fails)(images(1, 1, 4, 4), 1.0)


# --- claims ----------------------------------------------------------------------------------------------------------


def test_nothing_is_claimed_but_what_was_said_and_that_is_checked():
    assert from_callable(darker).claims == Claims.NOTHING
    honest = from_callable(darker, claims=Claims.LINEAR | Claims.MONOTONE | Claims.DIFFERENTIABLE, name="honest")
    check_degradation(honest)
    with pytest.raises(AssertionError, match="brighter"):

        def brighter(image, amount):
            return image**2 * (1 - amount) + image * amount

        check_degradation(from_callable(brighter, claims=Claims.LINEAR, name="brighter"))


def test_gradients_flow_through_a_tensor_function(images):
    x = images(1, 1, 3, 3).requires_grad_()
    from_callable(darker, claims=Claims.DIFFERENTIABLE)(x, 0.5).sum().backward()
    assert torch.allclose(x.grad, torch.full_like(x, 0.5))


def test_images_of_no_values_and_no_images_pass(images):
    op = from_callable(darker)
    assert op(images(0, 1, 4, 4), 1.0).shape == (0, 1, 4, 4)
    assert op.bind(like=torch.empty(2, 1, 4, 4, device="meta"))(torch.empty(2, 1, 4, 4, device="meta"), 1.0).is_meta


# --- names, saving, loading ------------------------------------------------------------------------------------------


def test_an_unnamed_one_works_but_is_not_saved(tmp_path):
    op = from_callable(darker)
    for unsaved in (op, Compose(parts=(GaussianBlur(), op)), from_kornia(torch.sigmoid)):
        with pytest.raises(ValueError, match="has no name and cannot be saved: make it with name="):
            unsaved.to_config()
    with pytest.raises(ValueError, match="darker has no name and cannot be saved"):
        train(tiny.config(tmp_path / "run", degradation=op), progress=False)
    assert not (tmp_path / "run").exists()


def test_a_name_is_given_once(images):
    with pytest.raises(ValueError, match="'gaussian_blur' is taken"):
        from_callable(darker, name="gaussian_blur")
    op = from_callable(darker, name="darker")
    assert op.to_config() == {"type": "darker", "schedule": {"type": "linear"}}
    assert Degradation.from_config({"type": "darker", "schedule": "cosine"}).schedule.registered_name == "cosine"
    again = from_callable(darker, name="darker")  # a cell of a notebook that is run again
    assert Degradation.from_config("darker") == again != op


def test_its_class_belongs_to_the_module_that_made_it():
    for op in (from_callable(darker), from_kornia(darker)):
        assert type(op).__module__ == __name__ and type(op).__name__ == "darker"
        assert repr(op).startswith("darker(")


def test_a_part_with_a_name_is_saved_in_the_whole():
    op = OneOf(options=(from_callable(darker, name="darker"), GaussianBlur()))
    assert Degradation.from_config(json.loads(json.dumps(op.to_config()))) == op


MODULE = """
import torch
from kornia.augmentation import RandomPlasmaShadow
from colddiff import from_callable, from_kornia

def fogged(image, amount, light):
    return image + amount * (light - image)

fog = from_callable(fogged, draw=lambda g: {"light": torch.rand((), generator=g)}, name="my fog")
shadow = from_kornia(RandomPlasmaShadow(p=1.0), name="my shadow")
"""

FRESH = """
import sys, torch, colddiff
if sys.argv[2] == "import":
    import of_mine
    assert colddiff.Degradation.from_config("my shadow") == of_mine.shadow
run = colddiff.load(sys.argv[1], device="cpu")
torch.save(run.restore(torch.load("x.pt"), steps=2), "restored.pt")
"""


def fresh(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """A process that has only that folder to import from, besides the library."""
    path = os.pathsep.join([str(folder), str(Path(black_box.__file__).parents[2])])
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", FRESH, str(folder / "run"), *arguments], capture_output=True, text=True,
        cwd=folder, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip


def test_a_named_one_trains_saves_and_loads_in_a_fresh_process_that_imported_its_module(tmp_path, monkeypatch):
    (tmp_path / "of_mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "of_mine", raising=False)
    import of_mine

    run = train(tiny.config(tmp_path / "run", degradation=of_mine.fog, steps=2), progress=False)
    assert load(tmp_path / "run", device="cpu").degradation == of_mine.fog
    x = torch.rand(2, 1, 8, 8)
    torch.save(x, tmp_path / "x.pt")
    done = fresh(tmp_path, "import")
    assert done.returncode == 0, done.stderr
    restored = torch.load(tmp_path / "restored.pt")
    assert torch.allclose(restored, run.restore(x, steps=2), atol=1e-6)
    done = fresh(tmp_path, "nothing")
    assert done.returncode != 0 and "no degradation is named 'my fog'" in done.stderr
    assert "is known once its module is imported" in done.stderr


def test_two_trainings_draw_the_same_params_and_end_in_the_same_weights(tmp_path):
    fog_op = from_callable(
        lambda im, a, light: im + a * (light - im),
        draw=lambda g: {"light": torch.rand((), generator=g)},
        name="fog of mine",
    )
    one, other = (train(tiny.config(tmp_path / name, degradation=fog_op, steps=3), progress=False).net for name in "ab")
    assert torch.equal(tiny.weights(one), tiny.weights(other))


def test_a_name_is_not_taken_over_by_another_function_of_the_module():
    first = from_callable(lambda im, a: im * (1 - a), name="taken over")
    with pytest.raises(ValueError, match="the name 'taken over' is taken by another function"):
        from_callable(lambda im, a: im + a, name="taken over")
    assert registered("colddiff.degradations")["taken over"] is type(first)


def test_what_mixes_images_is_no_degradation():
    for op in (augmentation.RandomMixUpV2(p=1.0), augmentation.RandomCutMixV2(p=1.0, use_correct_lambda=True)):
        with pytest.raises(TypeError, match="mixes images with each other"):
            from_kornia(op)


def test_one_generator_per_image_is_asked_for(images):
    op = from_callable(lambda im, a, k: im * k, draw=lambda g: {"k": torch.rand((), generator=g)})
    with pytest.raises(ValueError, match="expected one generator per image, 6, got 1"):
        op.draw_each(images(6, 1, 4, 4), [seeded(0)])
