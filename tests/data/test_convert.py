"""Images of every kind that people hold go in, and the same kind comes out."""

import numpy as np
import pytest
import torch
from PIL import Image
from support import tiny

from colddiff import GaussianBlur, GaussianMask, Interpolate, PixelMask, PixelNoise
from colddiff.data.convert import TOGETHER, apply_to_images
from colddiff.data.framing import Framing
from colddiff.testing.reporting import seeded

READ = Framing().read


def negative(x, places=()):
    return (1 - x).contiguous()


@pytest.fixture
def restorer():
    """A run of any number of channels whose network inverts, so that one call gives the negative."""

    class Negative(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(()))

        def forward(self, x, t):
            return 1 - x

    return lambda channels=1, op=None: tiny.run_of(Negative(), op or GaussianBlur(sigma_max=1.0), (channels, 8, 8))


# --- tensors and arrays ----------------------------------------------------------------------------------------------

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.bool]


@pytest.mark.parametrize("shape", [(6, 5), (3, 6, 5), (1, 6, 5), (2, 3, 6, 5), (0, 3, 6, 5)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_tensor_comes_back_with_its_shape_dtype_and_device(shape, dtype, images):
    x = images(*shape)
    x = x > 0.5 if dtype == torch.bool else (x * 255).round().to(dtype) if dtype == torch.uint8 else x.to(dtype)
    before = x.clone()
    y = apply_to_images(negative, x, READ)
    expected = ~x if dtype == torch.bool else 255 - x if dtype == torch.uint8 else (1 - x.float()).to(dtype)
    assert y.dtype == dtype and y.shape == x.shape and y.device == x.device
    assert torch.equal(y, expected) and torch.equal(x, before)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3), (6, 5, 1), (2, 6, 5, 3), (2, 6, 5, 1)], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.bool_], ids=lambda d: d.__name__)
def test_an_array_comes_back_with_its_shape_and_dtype_channels_last(shape, dtype):
    x = np.random.default_rng(0).random(shape)
    x = (x * 255).astype(np.uint8) if dtype == np.uint8 else x > 0.5 if dtype == np.bool_ else x.astype(dtype)
    y = apply_to_images(negative, x, READ)
    expected = 255 - x if dtype == np.uint8 else ~x if dtype == np.bool_ else (1 - x.astype(np.float32)).astype(dtype)
    assert isinstance(y, np.ndarray) and y.dtype == dtype and y.shape == shape and y.flags.c_contiguous
    assert np.array_equal(y, expected)


def test_rows_and_columns_of_an_array_stay_where_they_are():
    x = np.zeros((4, 6, 3), np.float32)
    x[1, 2] = [0.1, 0.2, 0.3]
    seen = []
    y = apply_to_images(lambda batch, places: seen.append(batch) or batch, x, READ)
    assert seen[0].shape == (1, 3, 4, 6) and np.array_equal(y, x)
    assert seen[0][0, :, 1, 2].tolist() == pytest.approx([0.1, 0.2, 0.3])


def test_arrays_that_may_not_be_written_to_or_run_backwards_are_read():
    x = np.random.default_rng(0).random((5, 4, 3))[::-1, ::-1]
    x.flags.writeable = False
    assert np.allclose(apply_to_images(negative, x, READ), 1 - x, atol=1e-6)


def test_what_is_outside_the_range_stays_in_a_float_and_is_not_wrapped_in_eight_bits():
    x = torch.tensor([[0.0, 1.0]])
    assert apply_to_images(lambda b, places: 3 * b - 1, x, READ).tolist() == [[-1.0, 2.0]]


@pytest.mark.parametrize(
    ("image", "kind", "told"),
    [
        (torch.zeros(3), ValueError, r"expected a tensor \(B, C, H, W\), \(C, H, W\) or \(H, W\), got shape \(3,\)"),
        (torch.zeros(1, 1, 1, 2, 2), ValueError, r"got shape \(1, 1, 1, 2, 2\)"),
        (torch.zeros(4, 4, dtype=torch.int64), TypeError, "uint8, of bool, or of floats in .* got torch.int64"),
        (np.zeros((2, 8, 8)), ValueError, r"expected an array \(N, H, W, C\).* got shape \(2, 8, 8\)"),
        (np.zeros((2, 3, 8, 8)), ValueError, r"expected an array \(N, H, W, C\).* got shape \(2, 3, 8, 8\)"),
        (np.zeros((4, 4), np.int32), TypeError, "got torch.int32"),
        (3, TypeError, "expected a tensor, an array, a Pillow picture, a path or a list of them, got int"),
        (None, TypeError, "got NoneType"),
        ([torch.zeros(2, 2), 3], TypeError, "got int"),
        (np.full((4, 4), 200.0), ValueError, r"expected floats in \[0, 1\], got 200 to 200: divide by 255"),
        ("none.png", FileNotFoundError, r"none\.png"),
    ],
)
def test_what_is_no_image_is_told_so(image, kind, told):
    with pytest.raises(kind, match=told):
        apply_to_images(negative, image, READ)


# --- pictures and files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "LA", "1", "I;16"])
def test_a_picture_of_any_mode_is_answered_by_a_picture(mode):
    x = Image.new("I;16", (5, 4), 257 * 60) if mode == "I;16" else Image.new("L", (5, 4), 60).convert(mode)
    y = apply_to_images(negative, x, READ)
    assert isinstance(y, Image.Image) and y.size == (5, 4) and y.mode in ("L", "RGB")
    expected = 255 if mode == "1" and x.getpixel((0, 0)) == 0 else 195
    assert mode == "1" or y.convert("L").getpixel((0, 0)) == expected


def test_a_path_is_answered_by_a_picture_and_the_file_stays_as_it_is(tmp_path):
    Image.new("RGB", (5, 4), (10, 20, 30)).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert apply_to_images(negative, path, READ).getpixel((0, 0)) == (245, 235, 225)
    assert (tmp_path / "a.png").read_bytes() == before


# --- lists -----------------------------------------------------------------------------------------------------------


def test_a_list_of_mixed_kinds_and_sizes_is_answered_in_its_order(tmp_path, images):
    Image.new("L", (5, 4), 60).save(tmp_path / "a.png")
    given = [
        images(3, 4, 5), tmp_path / "a.png", np.zeros((7, 5), np.uint8), Image.new("L", (5, 4), 0),
        images(2, 1, 4, 5, dtype=torch.float32), torch.zeros(4, 5, dtype=torch.uint8), images(3, 4, 5, seed=1),
    ]  # fmt: skip
    answers = apply_to_images(negative, given, READ)
    assert isinstance(answers, list) and len(answers) == 7
    for i in (0, 4, 6):
        assert answers[i].dtype == given[i].dtype and torch.allclose(answers[i], 1 - given[i], atol=1e-6)
    assert answers[1].getpixel((0, 0)) == 195 and answers[3].getpixel((0, 0)) == 255
    assert answers[2].shape == (7, 5) and answers[2].dtype == np.uint8 and (answers[2] == 255).all()
    assert (answers[5] == 255).all()
    assert (
        apply_to_images(negative, tuple(given[:1]), READ)[0].shape == (3, 4, 5)
        and apply_to_images(negative, [], READ) == []
    )


def test_images_of_one_size_are_one_batch_and_never_more_than_are_worth_it(images):
    seen, where = [], []

    def fn(batch, places):
        seen.append(tuple(batch.shape))
        where.append([*places])
        return batch

    apply_to_images(fn, [images(1, 4, 5), images(1, 6, 6), images(1, 4, 5), images(3, 4, 5), images(2, 1, 6, 6)], READ)
    assert seen == [(2, 1, 4, 5), (3, 1, 6, 6), (1, 3, 4, 5)]
    assert where == [[0, 2], [1, 4, 5], [3]]
    seen.clear()
    given = [images(1, 4, 5, seed=i) for i in range(2 * TOGETHER + 3)]
    answers = apply_to_images(fn, given, READ)
    assert [shape[0] for shape in seen] == [TOGETHER, TOGETHER, 3]
    assert all(torch.allclose(a, x, atol=1e-7) for a, x in zip(answers, given, strict=True))
    seen.clear()
    apply_to_images(fn, images(TOGETHER + 1, 1, 4, 5), READ)
    assert seen == [(TOGETHER + 1, 1, 4, 5)], "a batch of the user's own is left whole"


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_run_restores_whatever_it_is_given(restorer, images, tmp_path):
    run, path = restorer(), tmp_path / "a.png"
    Image.new("RGB", (5, 4), (60, 60, 60)).save(path)  # of a grey run
    asked = {"sampler": "one_shot"}
    x = images(1, 4, 5)
    assert torch.allclose(run.restore(x, **asked), 1 - x, atol=1e-6)
    assert torch.allclose(run.restore(x[0], **asked), 1 - x[0], atol=1e-6)
    assert (run.restore(np.full((4, 5), 60, np.uint8), **asked) == 195).all()
    for picture in (run.restore(path, **asked), run.restore([str(path)], **asked)[0]):
        assert picture.mode == "L" and picture.getpixel((0, 0)) == 195
    outside = run.restore(torch.tensor([[[-3.0, 4.0]]]), **asked)
    assert outside.tolist() == [[[1.0, 0.0]]], "clamped to [0, 1]"


def test_a_list_is_restored_as_its_images_are_one_by_one(images):
    run = tiny.run_of(tiny.NET.build(), GaussianBlur(sigma_max=1.0))
    given = [images(1, 8, 8, dtype=torch.float32, seed=i) for i in range(3)] + [images(1, 6, 9, dtype=torch.float32)]
    for together, x in zip(run.restore(given, steps=3), given, strict=True):
        assert torch.allclose(together, run.restore(x, steps=3), atol=1e-5)


def test_pictures_are_read_as_those_of_the_training_were_but_for_their_size(restorer):
    run = restorer(3)
    framing = Framing(size=8, fit="crop", colour="rgb", background=(0.0,))
    run.config["data"]["framing"] = framing.to_config()
    see_through = Image.new("RGBA", (20, 11), (255, 255, 255, 0))
    y = run.restore(see_through, sampler="one_shot")
    assert y.size == (20, 11) and y.getpixel((0, 0)) == (255, 255, 255), "laid over black, then inverted"


def test_images_of_other_channels_are_refused(restorer, images):
    with pytest.raises(ValueError, match=r"expected images \(B, 3, H, W\), got \(1, 1, 4, 5\)"):
        restorer(3).restore(images(4, 5))


@pytest.mark.parametrize("kind", ["bool tensor", "float tensor", "bool array", "eight bits", "picture", "path"])
def test_a_mask_is_of_any_kind_too(kind, restorer, tmp_path):
    run, x = restorer(op=PixelMask()), torch.full((2, 1, 4, 5), 0.2)
    hole = torch.zeros(4, 5, dtype=torch.bool)
    hole[1, 2:4] = True
    picture = Image.fromarray(hole.numpy().astype(np.uint8) * 255)
    picture.save(tmp_path / "mask.png")
    mask = {
        "bool tensor": hole[None, None], "float tensor": hole[None, None].float(), "bool array": hole.numpy(),
        "eight bits": np.asarray(picture), "picture": picture, "path": tmp_path / "mask.png",
    }[kind]  # fmt: skip
    *_, state = run.walk(x, mask=hole[None, None], steps=2)
    assert torch.equal(run.restore(x, mask=mask, steps=2), state.x.clamp(0, 1))
    assert torch.equal(state.x[:, :, ~hole], x[:, :, ~hole]) and not torch.equal(state.x, x)


def test_degrade_damages_any_kind_and_image_i_has_a_seed_of_its_own(restorer, images):
    op = PixelNoise()
    run, x = restorer(op=op), images(3, 1, 6, 5, dtype=torch.float32)
    y = run.degrade(x, 0.5, seed=7)
    for i in range(3):
        alone = op(x[i : i + 1], 0.5, op.draw(x[i : i + 1], seeded(7 + i))).clamp(0, 1)
        assert torch.equal(y[i : i + 1], alone)
    assert torch.equal(torch.stack(run.degrade(list(x), 0.5, seed=7)), y)
    mixed = run.degrade([x[0], np.zeros((4, 4), np.uint8), x[2]], 0.5, seed=7)
    assert torch.equal(mixed[2], y[2]) and mixed[1].shape == (4, 4) and mixed[1].dtype == np.uint8
    many = run.degrade([x[0]] * (TOGETHER + 1), 0.5)
    assert not torch.equal(many[0], many[TOGETHER])
    assert torch.equal(run.degrade(x, torch.tensor([0.0, 1.0, 0.5]))[0], x[0])


def test_a_run_that_was_trained_on_pairs_knows_no_damage(restorer, images):
    with pytest.raises(ValueError, match="was trained with the endpoint of each image: what damages"):
        restorer(op=Interpolate()).degrade(images(1, 4, 4))


def test_steps_that_are_left_out_are_as_many_as_there_are_levels(restorer, images):
    x = images(2, 1, 8, 8)
    counts = {GaussianBlur(): (20, 20), GaussianMask(num_steps=8): (8, 4), Interpolate(num_steps=1): (1, 1)}
    for op, expected in counts.items():  # warnings are errors
        starts = (1.0, 1.0 if op.levels == 1 else 0.5)
        assert tuple(len([*restorer(op=op).walk(x, start=s, mask=None)]) for s in starts) == expected
    each = [*restorer(op=GaussianMask(num_steps=8)).walk(x, start=torch.tensor([0.25, 0.5]))]
    assert len(each) == 4 and each[0].t.tolist() == [0.25, 0.375]


def test_what_is_drawn_for_a_picture_depends_on_its_place_and_not_on_its_company(restorer, images):
    run = restorer(op=PixelMask(fill=(0.5,)))
    x = [images(1, 8, 8, dtype=torch.float32, seed=i) for i in range(40)]
    times = torch.linspace(0.1, 1, 40)
    whole, listed = run.degrade(torch.stack(x), times, seed=3), run.degrade(x, times, seed=3)
    assert torch.allclose(whole, torch.stack(listed), atol=1e-6)
    assert torch.allclose(run.degrade(x[39], times[39], seed=42), whole[39], atol=1e-6)
    assert torch.allclose(run.restore(whole, start=times), torch.stack(run.restore(listed, start=times)), atol=1e-6)
