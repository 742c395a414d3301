"""Pixel noise: what it computes, against a slow twin."""

import pytest
import torch

from colddiff import PixelNoise


@pytest.mark.parametrize(
    ("level", "shift", "noisy"),
    [(120, 20, 140), (120, -50, 70), (250, 20, 255), (5, -20, 0), (120, 0.6, 121), (120, 0.4, 120)],
)
def test_pixel_noise_is_the_arithmetic_of_the_note(level, shift, noisy) -> None:
    x = torch.full((1, 1, 1, 1), level / 255)
    params = {"noise": torch.full((1, 1, 1, 1), shift / 50)}
    assert round(float(PixelNoise(sigma=50)(x, 1.0, params)) * 255, 4) == noisy


def test_clipped_share_counts_what_a_camera_loses() -> None:
    x = torch.tensor([250.0, 120.0, 5.0, 0.0]).view(1, 1, 2, 2) / 255
    noise = torch.tensor([20.0, 20.0, -20.0, 0.2]).view(1, 1, 2, 2) / 50
    assert PixelNoise(sigma=50).clipped_share(x, torch.ones(1), {"noise": noise}).tolist() == [0.5]
    assert PixelNoise(sigma=50).clipped_share(x, torch.zeros(1), {"noise": noise}).tolist() == [0]
