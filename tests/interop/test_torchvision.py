"""Degradations in pipelines of torchvision v2, and its transforms as degradations."""

import pytest
import torch
from PIL import Image
from support.comparing import seeded
from support.image_folders import noise
from support.optional_packages import beside
from torch import Tensor

import colddiff as cd

v2 = beside("torchvision.transforms.v2")
tv_tensors = beside("torchvision.tv_tensors")


from colddiff.interop.torchvision import AsTransform, from_transform  # noqa: E402  # which would fail without

BLUR, NOISE = cd.GaussianBlur(sigma_max=2.0), cd.GaussianNoise()


def eight_bit(x: Tensor) -> Tensor:
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


# --- ours there ------------------------------------------------------------------------------------------------------


def test_images_of_every_kind_are_damaged_alike(images) -> None:
    x = eight_bit(images(1, 3, 12, 10))[0]
    expected = BLUR(x[None].float() / 255, 0.6)[0]
    transform = AsTransform(BLUR, t=0.6)
    assert isinstance(transform, v2.Transform)
    assert torch.equal(transform(x), eight_bit(expected))
    assert torch.allclose(transform(x / 255), expected, atol=1e-6)
    whole = transform(tv_tensors.Image(x))
    assert isinstance(whole, tv_tensors.Image) and torch.equal(whole.as_subclass(Tensor), eight_bit(expected))
    given = v2.functional.to_pil_image(x)
    made = transform(given)
    assert isinstance(made, Image.Image) and torch.equal(v2.functional.pil_to_tensor(made), eight_bit(expected))


def test_eight_bits_are_clamped_and_floats_are_not(images) -> None:
    x = eight_bit(images(1, 1, 8, 8))[0]
    exact = AsTransform(NOISE, t=1.0, generator=seeded(0))(x / 255)
    assert float(exact.min()) < 0 and float(exact.max()) > 1
    assert torch.equal(AsTransform(NOISE, t=1.0, generator=seeded(0))(x), eight_bit(exact))


@pytest.mark.parametrize(("mode", "after"), [("L", "L"), ("RGB", "RGB"), ("RGBA", "RGB"), ("P", "RGB")])
def test_pictures_of_any_mode_are_read_as_everywhere(mode: str, after: str) -> None:
    made = AsTransform(BLUR, t=0.5)(noise((10, 12), mode=mode))
    assert made.mode == after and made.size == (10, 12)


def test_what_is_no_image_of_a_sample_is_as_it_was(images) -> None:
    sample = {
        "image": tv_tensors.Image(images(3, 12, 10, dtype=torch.float32)),
        "boxes": tv_tensors.BoundingBoxes([[1.0, 1.0, 4.0, 5.0]], format="XYXY", canvas_size=(12, 10)),
        "mask": tv_tensors.Mask(torch.ones(1, 12, 10, dtype=torch.uint8)),
        "label": torch.tensor(3),
        "name": "cat",
    }
    made = AsTransform(BLUR, t=1.0)(sample)
    assert torch.equal(made["image"], BLUR(sample["image"][None], 1.0)[0])
    assert all(made[name] is sample[name] for name in ("boxes", "mask", "label", "name"))


def test_it_stands_in_a_pipeline_and_a_generator_decides_its_draws() -> None:
    def pipeline(seed: int):
        transform = AsTransform(NOISE, t=(0.2, 0.9), generator=seeded(seed))
        return v2.Compose([v2.ToImage(), v2.Resize(8), v2.ToDtype(torch.float32, scale=True), transform])

    one, same, other = (pipeline(seed) for seed in (0, 0, 1))
    first, label = one(noise((10, 12), mode="RGB"), 5)
    assert first.shape == (3, 9, 8) and label == 5
    assert torch.equal(first, same(noise((10, 12), mode="RGB"), 5)[0]) and not torch.equal(
        first, other(noise((10, 12), mode="RGB"), 5)[0]
    )
    assert not torch.equal(one(noise((10, 12), mode="RGB"), 5)[0], first), "every sample has its own draw"


def test_torchs_generator_decides_where_there_is_no_other_and_is_left_alone_where_there_is(images) -> None:
    x, transform, found = images(3, 8, 8), AsTransform(NOISE), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(transform(x))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    before = torch.get_rng_state()
    AsTransform(NOISE, generator=seeded(0))(x)
    assert torch.equal(torch.get_rng_state(), before)


def test_images_of_a_sample_share_their_draw_and_images_of_a_batch_do_not(images) -> None:
    x = tv_tensors.Image(images(1, 8, 8, dtype=torch.float32))
    one, other = AsTransform(NOISE)(x, tv_tensors.Image(x.clone()))
    assert torch.equal(one, other) and not torch.equal(one, x)
    batch = AsTransform(NOISE)(x[None].expand(2, 1, 8, 8))
    assert not torch.equal(batch[0], batch[1])


def test_times_are_drawn_evenly_in_their_range() -> None:
    shade = cd.from_callable(lambda image, s: torch.full_like(image, s))
    times = AsTransform(shade, t=(0.25, 0.75), generator=seeded(0))(torch.zeros(500, 1, 2, 2))[:, 0, 0, 0]
    assert 0.25 <= float(times.min()) < 0.27 and 0.73 < float(times.max()) <= 0.75
    assert abs(float(times.mean()) - 0.5) < 0.03
    assert torch.equal(AsTransform(shade, t=(0.0, 0.0))(torch.ones(1, 2, 2)), torch.ones(1, 2, 2))


def test_a_video_is_told_to_come_frame_by_frame() -> None:
    with pytest.raises(TypeError, match="got a video: degrade its frames"):
        AsTransform(BLUR)(tv_tensors.Video(torch.zeros(2, 3, 8, 8)))


def test_what_cannot_be_a_transform_is_refused() -> None:
    with pytest.raises(ValueError, match="needs the endpoint of each image"):
        AsTransform(cd.Interpolate())
    with pytest.raises(ValueError, match=r"t must be a time in \[0, 1\]"):
        AsTransform(BLUR, t=(0.0, 2.0))


def test_it_says_what_it_is() -> None:
    assert "GaussianBlur" in repr(AsTransform(BLUR)) and "t=(0.0, 1.0)" in repr(AsTransform(BLUR))


# --- theirs here -----------------------------------------------------------------------------------------------------


def test_a_function_of_torchvision_is_a_degradation_in_a_line(images) -> None:
    op, x = cd.from_callable(v2.functional.adjust_contrast, severity=(1.0, 0.2)), images(3, 3, 8, 8)
    y = op(x, torch.tensor([0.0, 0.5, 1.0]))
    expected = [x[0], v2.functional.adjust_contrast(x[1], 0.6), v2.functional.adjust_contrast(x[2], 0.2)]
    assert torch.equal(y[0], x[0]) and torch.allclose(y, torch.stack(expected), atol=1e-5)


def test_a_transform_keeps_what_it_drew_for_a_whole_trajectory(images) -> None:
    transform, x = v2.ElasticTransform(20.0, sigma=1.0), images(2, 3, 12, 12, dtype=torch.float32)
    op = from_transform(transform)
    params = op.draw(x, seeded(0))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(params["seed"][1]))
        expected = transform(x[1])
    before = torch.get_rng_state()
    y = op(x, 1.0, params)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(y[1], expected) and torch.equal(op(x, 1.0, params), y)
    assert torch.allclose(op(x, 0.5, params), (x + y) / 2, atol=1e-6) and torch.equal(op(x, 0.0, params), x)
    assert not torch.equal(op(x, 1.0, op.draw(x, seeded(1))), y)


def test_a_transform_sees_every_image_on_the_cpu_where_the_seed_is_heard(images) -> None:
    class Elsewhere(Tensor):
        """An image of another device."""

        def cpu(self, *_: object, **__: object) -> Tensor:
            return self.as_subclass(Tensor)

    x, seen = images(2, 1, 6, 6, dtype=torch.float32), []
    op = from_transform(lambda image: seen.append(type(image)) or image + torch.randn_like(image))
    params = op.draw(x, seeded(0))
    y = op(x.as_subclass(Elsewhere), 1.0, params)
    assert seen == [Tensor, Tensor] and torch.equal(y, op(x, 1.0, params))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_transform_draws_the_same_for_a_gpu(images) -> None:
    op, x = from_transform(v2.GaussianNoise()), images(2, 3, 12, 12, dtype=torch.float32)
    params = op.draw(x, seeded(0))
    before = torch.cuda.get_rng_state()
    t = torch.tensor([0.5, 0.0])
    y = op(x.cuda(), t, params)
    assert y.is_cuda and torch.equal(torch.cuda.get_rng_state(), before)
    assert torch.equal(op(x.cuda(), t, params), y) and torch.allclose(y.cpu(), op(x, t, params), atol=1e-6)


def test_a_severity_makes_a_transform_of_s(images) -> None:
    op, x = from_transform(severity=lambda s: v2.RandomRotation((90 * s, 90 * s))), images(1, 1, 9, 9)
    params = op.draw(x, seeded(0))
    assert torch.allclose(op(x, 1.0, params), x.rot90(1, (2, 3)), atol=1e-4)
    assert torch.allclose(op(x, 0.5, params)[0], v2.functional.rotate(x[0], 45), atol=1e-6)


def test_a_transform_that_cuts_is_told_to_keep_the_size(images) -> None:
    op, x = from_transform(v2.CenterCrop(4)), images(1, 1, 8, 8)
    with pytest.raises(ValueError, match="CenterCrop must keep the shape of images"):
        op(x, 1.0, op.draw(x, seeded(0)))


def test_either_a_transform_or_a_severity_is_given() -> None:
    for arguments in ({}, {"transform": v2.Identity(), "severity": lambda s: v2.Identity()}):
        with pytest.raises(TypeError, match="give either a transform, or a severity"):
            from_transform(**arguments)


def test_a_name_makes_it_one_that_is_saved_and_found() -> None:
    op = from_transform(v2.ColorJitter(0.5), name="jittered")
    assert cd.degradation("jittered") == op and op.to_config()["type"] == "jittered"
