"""Numerics: what it computes, against a slow twin."""

import pytest
import torch

from colddiff import GaussianBlur, GaussianNoise
from colddiff.testing.reporting import seeded


def test_products_are_exact_inside_and_precision_settings_as_they_were_outside(images, monkeypatch) -> None:
    knobs = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.mkldnn.matmul)
    before = [knob.fp32_precision for knob in knobs]
    inside = []
    degrade = GaussianBlur.degrade
    monkeypatch.setattr(
        GaussianBlur, "degrade", lambda *a: inside.extend(k.fp32_precision for k in knobs) or degrade(*a)
    )
    try:
        torch.set_float32_matmul_precision("high")
        set_by_user = [knob.fp32_precision for knob in knobs]
        GaussianBlur()(images(1, 1, 4, 4), 0.5)
        assert inside == ["ieee"] * 3
        assert [knob.fp32_precision for knob in knobs] == set_by_user
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
        for knob, precision in zip(knobs, before, strict=True):
            knob.fp32_precision = precision


def test_small_work_stays_on_one_thread_and_the_others_come_back() -> None:
    seen: list[int] = []

    class Counting(GaussianNoise):
        def degrade(self, x, s, params):
            seen.append(torch.get_num_threads())
            if bool(params["noise"].isnan().any()):
                raise ArithmeticError("no noise")
            return super().degrade(x, s, params)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        small, large = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 1024, 1024)
        for x in (small, large):
            op = Counting()
            op(x, 0.5, op.draw(x, seeded(0)))
        with pytest.raises(ArithmeticError):
            Counting()(small, 0.5, {"noise": small + torch.nan})
        assert seen == [1, 2, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
