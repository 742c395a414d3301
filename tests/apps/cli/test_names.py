"""A name that is not known is answered with the nearest one."""

from support.command_line import colddiff


def test_a_slip_is_told_with_the_nearest_name(capsys):
    assert colddiff("train", "digits", "--out", "x", "--degradation", "gausian_blur") == 2
    assert "did you mean 'gaussian_blur'?" in capsys.readouterr().err
    assert colddiff("train", "digits", "--out", "x", "--degradation", "pixelate", "--degradation.larges", "3") == 2
    assert "did you mean 'largest'?" in capsys.readouterr().err
