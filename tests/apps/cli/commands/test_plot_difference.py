"""`colddiff plot difference`."""

from PIL import Image
from support.command_line import told


def test_a_difference_of_grey_and_colour_is_in_colour(here, capsys):
    assert told(capsys, "difference", "digit.png", "digit.png", "--out", "d.png").startswith("RMSE 0.0000")
    told(capsys, "difference", "digit.png", "other.png", "--absolute", "--limit", "0.5", "--out", "d.png")
    with Image.open("d.png") as sheet:
        assert sheet.mode == "RGB" and sheet.width > 3 * 64
