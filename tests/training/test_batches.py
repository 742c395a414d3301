"""What stands at which position of a training, and how it is augmented."""

import torch

from colddiff.data import ImageData
from colddiff.degradations import GaussianBlur, IteratedBlur, PixelMask
from colddiff.training.batches import Batches, random_times
from colddiff.utils.rng import permutation


def numbered(n, side=4):
    images = torch.arange(n, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(n, 1, side, side).contiguous()
    return ImageData(images)


CPU = torch.device("cpu")


def test_what_is_at_a_position_does_not_depend_on_the_batch_size():
    batches = [Batches(numbered(10), PixelMask(), size, seed=3, flip=True, shift=1) for size in (12, 4, 1)]
    whole, fours, ones = ([b.at(p, CPU) for p in range(0, 12, b.size)] for b in batches)
    for parts in (fours, ones):
        for name in ("x0", "t"):
            assert torch.equal(getattr(whole[0], name), torch.cat([getattr(b, name) for b in parts]))
        for name, value in whole[0].params.items():
            assert torch.equal(value, torch.cat([b.params[name] for b in parts]))


def test_every_image_comes_once_per_epoch_in_a_new_order():
    batches = Batches(numbered(10), GaussianBlur(), 5, seed=0)
    seen = [(batches.at(p, CPU).x0[:, 0, 0, 0] * 255).round().int().tolist() for p in range(0, 20, 5)]
    first, second = seen[0] + seen[1], seen[2] + seen[3]
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert permutation(10, 1, 0).tolist() != permutation(10, 0, 0).tolist()


def test_another_seed_is_another_training():
    a, b = (Batches(numbered(10), GaussianBlur(), 10, seed=s).at(0, CPU) for s in (0, 1))
    assert not torch.equal(a.x0, b.x0) and not torch.equal(a.t, b.t)


def test_flips_mirror_half_of_the_images():
    ramp = torch.arange(4, dtype=torch.uint8).expand(1, 1, 4, 4).contiguous()
    x0 = Batches(ImageData(ramp), GaussianBlur(), 200, seed=0, flip=True).at(0, CPU).x0 * 255
    mirrored = x0[:, 0, 0, 0] == 3
    assert torch.equal(x0[mirrored], ramp.flip(-1).expand(int(mirrored.sum()), 1, 4, 4).float())
    assert torch.equal(x0[~mirrored], ramp.expand(int((~mirrored).sum()), 1, 4, 4).float())
    assert 70 < mirrored.sum() < 130


def test_shifts_move_images_and_repeat_their_edges():
    image = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 4, 4)
    x0 = Batches(ImageData(image), GaussianBlur(), 300, seed=0, shift=1).at(0, CPU).x0
    moved = {tuple((x * 255).round().int().flatten().tolist()) for x in x0}
    padded = torch.nn.functional.pad(image.float(), (1, 1, 1, 1), mode="replicate")[0, 0]
    expected = {tuple(padded[i : i + 4, j : j + 4].int().flatten().tolist()) for i in range(3) for j in range(3)}
    assert moved == expected


def test_times_are_drawn_on_the_levels_of_an_operator_and_never_zero():
    op = IteratedBlur(num_steps=5)
    u = torch.rand(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(random_times(op, u).unique(), op.level_times()[1:])
    continuous = random_times(GaussianBlur(), u)
    assert continuous.min() > 0 and continuous.max() <= 1


def test_a_validation_pass_sees_every_image_once_whatever_the_batch_size():
    passes = [[*Batches(numbered(10), PixelMask(), size, seed=0).one_pass(CPU)] for size in (3, 10)]
    x0, t = ([torch.cat([getattr(b, name) for b in one]) for one in passes] for name in ("x0", "t"))
    assert torch.equal(x0[0], x0[1]) and torch.equal(t[0], t[1])
    assert (x0[0][:, 0, 0, 0] * 255).round().int().tolist() == list(range(10))
    assert len(t[0].unique()) == 10
