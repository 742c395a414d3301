"""`colddiff degrade`: a strip or an animation of a picture."""

import numpy as np
from PIL import Image
from support.command_line import colddiff


def test_degrade_tells_how_much_was_clipped(photo, tmp_path, capsys):
    args = ["degrade", photo, "--degradation", "pixel_noise", "--degradation.sigma=80", "--steps", 3]
    assert colddiff(*args, "--out", tmp_path / "strip.png") == 0
    first, *shares = capsys.readouterr().out.splitlines()[1].removeprefix("clipped share: ").split()
    assert first == "0.0%" and len(shares) == 2 and 0 < float(shares[0][:-1]) < float(shares[1][:-1]) < 100
    args[3:5] = ["gaussian_blur"]
    assert colddiff(*args, "--out", tmp_path / "strip.png") == 0
    assert "clipped" not in capsys.readouterr().out


def test_degrade_writes_a_strip_or_an_animation(photo, tmp_path, capsys):
    args = ["degrade", photo, "--degradation", "gaussian_blur", "--degradation.sigma_max=20", "--steps", 5]
    assert colddiff(*args, "--out", tmp_path / "strip.png") == 0
    with Image.open(tmp_path / "strip.png") as strip, Image.open(photo) as original:
        enlarged = original.resize((5 * 15, 5 * 11), Image.Resampling.NEAREST)
        assert strip.width == 5 * (75 + 2) + 2 and strip.height > 55 + 4, "no room for the times"
        assert np.array_equal(np.asarray(strip)[2:57, 2:77], np.asarray(enlarged))
    args[3:5] = ["pixel_mask"]
    assert colddiff(*args, "--out", tmp_path / "strip.gif", "--image-size", 8) == 0
    with Image.open(tmp_path / "strip.gif") as animation:
        assert animation.n_frames == 5 and animation.width == 8 * 8 + 4
    assert "5 pictures from t = 0 to t = 1" in capsys.readouterr().out


def test_the_seed_decides_what_a_random_degradation_does(photo, tmp_path):
    args = ["degrade", photo, "--degradation", "pixel_mask"]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert colddiff(*args, "--out", tmp_path / f"{name}.png", "--seed", seed) == 0
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b != c


def test_degrade_never_writes_over_its_picture(photo, capsys):
    before = photo.read_bytes()
    assert colddiff("degrade", photo, "--degradation", "pixelate", "--out", photo) == 2
    assert "would be overwritten" in capsys.readouterr().err and photo.read_bytes() == before


def test_a_strip_has_an_end(photo, capsys):
    assert colddiff("degrade", photo, "--degradation", "pixelate", "--steps", 1_000_000_000) == 2
    assert "--steps must be 2 to 1000" in capsys.readouterr().err
