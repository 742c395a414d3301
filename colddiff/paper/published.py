"""The numbers of the paper's tables, and what its networks were trained on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Numbers:
    """One line of a table: FID, SSIM and RMSE; None where the paper has none."""

    fid: float | None
    ssim: float | None
    rmse: float | None


Lines = dict[str, Numbers]  # by "degraded", "improved" (sampled, Algorithm 2) and "one_shot" (direct)

# Tables 1, 2 and 3: FID, SSIM and RMSE of degraded, sampled (Algorithm 2) and direct (one restorer call) images; RMSE
# is one root mean square over all values in [0, 1].
RESTORATION: dict[str, dict[str, Lines]] = {
    "deblur": {
        "mnist": {
            "degraded": Numbers(438.59, 0.287, 0.287),  # the SSIM is a slip: it is about 0.015
            "one_shot": Numbers(5.10, 0.757, 0.142),
            "improved": Numbers(4.69, 0.718, 0.154),
        },
        "cifar10": {
            "degraded": Numbers(298.60, 0.315, 0.136),
            "one_shot": Numbers(83.69, 0.775, 0.071),
            "improved": Numbers(80.08, 0.773, 0.075),
        },
        "celeba": {
            "degraded": Numbers(382.81, 0.254, 0.193),
            "one_shot": Numbers(36.37, 0.607, 0.083),
            "improved": Numbers(26.14, 0.568, 0.093),
        },
    },
    "inpaint": {
        "mnist": {
            "degraded": Numbers(108.48, 0.490, 0.262),
            "one_shot": Numbers(2.24, 0.948, 0.060),
            "improved": Numbers(1.61, 0.941, 0.068),
        },
        "cifar10": {
            "degraded": Numbers(40.83, 0.615, 0.143),
            "one_shot": Numbers(9.97, 0.869, 0.063),
            "improved": Numbers(8.92, 0.859, 0.068),
        },
        "celeba": {
            "degraded": Numbers(127.85, 0.663, 0.155),
            "one_shot": Numbers(7.74, 0.922, 0.039),
            "improved": Numbers(5.73, 0.917, 0.043),
        },
    },
    "superres": {
        "mnist": {
            "degraded": Numbers(368.56, 0.178, 0.231),
            "one_shot": Numbers(4.05, 0.823, 0.114),
            "improved": Numbers(4.33, 0.820, 0.115),
        },
        "cifar10": {
            "degraded": Numbers(358.99, 0.279, 0.146),
            "one_shot": Numbers(169.94, 0.420, 0.152),  # worse than the degraded image
            "improved": Numbers(152.76, 0.411, 0.155),
        },
        "celeba": {
            "degraded": Numbers(349.85, 0.335, 0.225),
            "one_shot": Numbers(112.84, 0.400, 0.196),
            "improved": Numbers(96.92, 0.381, 0.201),
        },
    },
}

# FID at 128 x 128 pixels, of 6,400 images.
GENERATION: dict[str, dict[str, float]] = {
    "celeba": {
        "hot, fixed noise": 59.91, "hot, estimated noise": 23.11,
        "cold, perfect symmetry": 97.00, "cold, broken symmetry": 49.45,
    },
    "afhq": {
        "hot, fixed noise": 25.62, "hot, estimated noise": 20.59,
        "cold, perfect symmetry": 93.05, "cold, broken symmetry": 54.68,
    },
}  # fmt: skip
