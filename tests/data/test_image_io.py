"""Pictures as they are read: upright, opaque, in 8 bits."""

import numpy as np
import pytest
from PIL import Image

from colddiff.data.image_io import fit, read_image, read_images, to_tensor

RED, CLEAR_RED = (255, 0, 0), (255, 0, 0, 0)


def test_transparency_is_laid_over_white(tmp_path):
    Image.new("RGBA", (4, 4), CLEAR_RED).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").getpixel((0, 0)) == (255, 255, 255)


def test_a_palette_becomes_its_colours_and_its_transparent_entry_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([*RED, 0, 255, 0])
    image.putpixel((0, 0), 1)
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.png", transparency=1)
    assert [read_image(tmp_path / "a.png").getpixel(p) for p in ((0, 0), (1, 1))] == [(0, 255, 0), RED]
    assert [read_image(tmp_path / "b.png").getpixel(p) for p in ((0, 0), (1, 1))] == [(255, 255, 255), RED]


def test_a_rotated_photo_is_turned_upright(tmp_path):
    image = Image.new("RGB", (8, 4), "black")
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (4, 8)


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    Image.fromarray(np.array([[0, 257, 51400, 65535]], dtype=np.uint16)).save(tmp_path / "a.png")
    assert np.asarray(read_image(tmp_path / "a.png")).tolist() == [[0, 1, 200, 255]]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_every_mode_becomes_grey_or_colour(mode, tmp_path):
    white = Image.new("RGB", (4, 4), "white").convert(mode)
    given = [white]
    if mode != "YCbCr":  # which Pillow 12 cannot read of the TIFF that it wrote
        given.append(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"))
        white.save(given[-1])
    for picture in given:
        tensor = to_tensor(read_image(picture))
        assert tensor.shape in ((1, 4, 4), (3, 4, 4)) and tensor.min() >= 254


def test_fit_keeps_the_middle():
    image = Image.new("RGB", (30, 10), "black")
    image.paste("white", (10, 0, 20, 10))
    assert to_tensor(fit(image, 10)).float().mean() > 254
    assert fit(Image.new("L", (7, 5)), 9).size == (9, 9)


def test_pictures_become_one_batch_in_colour_if_any_is(tmp_path):
    Image.new("L", (6, 4), 51).save(tmp_path / "grey.png")
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "red.png")
    assert read_images(tmp_path / "grey.png").shape == (1, 1, 4, 6)
    both = read_images(tmp_path / "grey.png", tmp_path / "red.png")
    assert both.shape == (2, 3, 4, 6) and both[0, 0, 0, 0] == 0.2 and both[1, :, 0, 0].tolist() == [1, 0, 0]
    Image.new("L", (5, 5)).save(tmp_path / "other.png")
    with pytest.raises(ValueError, match="of one size"):
        read_images(tmp_path / "grey.png", tmp_path / "other.png")


def test_a_picture_of_floats_is_refused_rather_than_black(tmp_path):
    Image.new("F", (4, 4), 0.5).save(tmp_path / "f.tiff")
    with pytest.raises(ValueError, match="floating-point numbers"):
        read_image(tmp_path / "f.tiff")
