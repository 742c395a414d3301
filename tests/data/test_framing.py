"""One rule for every picture: what kind of file it is makes no difference to what it shows."""

import json
import subprocess
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

from colddiff.data import ImageData, from_images, load_data
from colddiff.data.framing import Framing
from colddiff.data.image_io import UNREADABLE, formats, read_image, scaled

RED = (255, 0, 0)


def ramp(width, height):
    """Every pixel tells its place: column in red, row in green."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))


def corners(frames):
    """Upper left corners of frames of a ramp."""
    return [frame.getpixel((0, 0))[:2] for frame in frames]


# --- cutting ---------------------------------------------------------------------------------------------------------


def test_a_crop_is_the_centre_at_the_pictures_own_scale():
    (frame,) = Framing(size=4, fit="crop").frames(ramp(11, 8))
    assert frame.size == (4, 4) and corners([frame]) == [(3, 2)]
    assert np.array_equal(np.asarray(frame), np.asarray(ramp(11, 8))[2:6, 3:7])


def test_tiles_are_cut_around_the_centre_and_do_not_overlap():
    frames = Framing(size=4, fit="tiles").frames(ramp(11, 8))
    assert corners(frames) == [(1, 0), (5, 0), (1, 4), (5, 4)]
    assert {frame.size for frame in frames} == {(4, 4)}


@pytest.mark.parametrize(("fit", "number"), [("resize", 1), ("crop", 1), ("tiles", 3)])
def test_pictures_smaller_than_the_size_are_enlarged(fit, number):
    frames = Framing(size=8, fit=fit).frames(ramp(12, 4))
    assert len(frames) == number and {frame.size for frame in frames} == {(8, 8)}
    middle = np.asarray(scaled(ramp(12, 4), 8))[:, 8:16]
    assert np.array_equal(np.asarray(frames[number // 2]), middle)


def test_without_a_size_pictures_stay_as_they_are():
    assert Framing().frames(ramp(5, 3))[0].size == (5, 3)


@pytest.mark.parametrize("fit", ["resize", "crop", "tiles"])
@pytest.mark.parametrize("shape", [(17, 26), (5, 7)])
def test_an_array_is_cut_as_a_file_of_the_same_pixels(fit, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    framing = Framing(size=8, fit=fit)
    for kind, array in ("grey", pixels[:, :, 0]), ("rgb", pixels):
        as_file, as_array = (from_images(x, size=8, resize_mode=fit) for x in ([Image.fromarray(array)], array[None]))
        assert torch.equal(as_file.images, as_array.images) and as_file.protocol == as_array.protocol
        assert as_file.protocol["framing"] == framing.to_config() | {"colour": kind}


def test_a_protocol_says_whether_anything_was_resized():
    array = np.zeros((2, 8, 8), np.uint8)
    told = {size: from_images(array, size=size).protocol["resize"] for size in (None, 8, 4)}
    assert told == {None: "none", 8: "none", 4: Framing(size=4).words} and "short side to 4 px (bil" in told[4]


def test_tiles_of_a_data_set_are_images_of_their_own(tmp_path):
    ramp(11, 8).save(tmp_path / "a.png")
    ramp(4, 4).save(tmp_path / "b.png")
    data = load_data(tmp_path, split="all", size=4, resize_mode="tiles")
    assert len(data) == data.protocol["images"] == 5 and "tiles of 4 px" in data.protocol["resize"]


def test_tiles_of_one_picture_never_fall_on_both_sides_of_a_split(tmp_path):
    for i in range(12):
        Image.new("L", (8 + i, 12), i).save(tmp_path / f"{i}.png")
    train, test = (load_data(tmp_path, split=s, size=4, resize_mode="tiles").images for s in ("train", "test"))
    assert len(train) + len(test) == sum(3 * ((8 + i) // 4) for i in range(12)) and len(test) >= 6
    assert not set(train.flatten().tolist()) & set(test.flatten().tolist())


def test_digits_go_by_the_same_rule():
    whole = load_data("digits", split="test")
    tiles = load_data("digits", split="test", size=4, resize_mode="tiles", colour="rgb")
    assert tiles.images.shape == (4 * 180, 3, 4, 4)
    assert torch.equal(tiles.images[0, 0], whole.images[0, 0, :4, :4])
    assert tiles.protocol["framing"]["colour"] == "rgb" and whole.protocol["framing"]["colour"] == "grey"
    assert load_data("photos", split="test", colour="grey").images.shape[1] == 1


# --- colour ----------------------------------------------------------------------------------------------------------


def test_colour_is_told_by_all_pictures_unless_it_is_asked_for(tmp_path):
    Image.new("L", (4, 4), 100).save(tmp_path / "0.png")
    assert load_data(tmp_path, split="all").protocol["framing"]["colour"] == "grey"
    Image.new("RGB", (4, 4), RED).save(tmp_path / "1.png")
    for colour, channels, resolved in (("auto", 3, "rgb"), ("rgb", 3, "rgb"), ("grey", 1, "grey")):
        data = load_data(tmp_path, split="all", colour=colour)
        assert (data.images.shape[1], data.protocol["framing"]["colour"]) == (channels, resolved)
    assert data.images.flatten(1).unique(dim=1).tolist() == [[100], [76]]  # luma of red: 0.299


def test_an_array_in_colour_becomes_the_same_grey_as_a_file():
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    as_array, as_file = (from_images(x, colour="grey").images for x in (pixels, [Image.fromarray(pixels[0])]))
    assert torch.equal(as_array, as_file)


def test_a_grey_folder_can_be_read_in_colour(tmp_path):
    Image.new("L", (4, 4), 100).save(tmp_path / "0.png")
    assert load_data(tmp_path, split="all", colour="rgb").images.shape == (1, 3, 4, 4)


def test_arrays_of_other_than_1_or_3_channels_keep_them_and_cannot_be_grey():
    four = np.zeros((2, 5, 5, 4), np.uint8)
    assert from_images(four).protocol["framing"]["colour"] == "auto" and from_images(four).images.shape[1] == 4
    with pytest.raises(ValueError, match="colour 'grey' is for images of 1 or 3 channels, these have 4"):
        from_images(four, colour="grey")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_is_laid_over_the_background(mode, tmp_path):
    if mode == "P":
        image = Image.new("P", (4, 4), 0)
        image.putpalette([*RED, 0, 255, 0])
        image.save(tmp_path / "a.png", transparency=0)
    else:
        clear = Image.new("RGBA", (4, 4), (*RED, 0))
        clear.convert(mode).save(tmp_path / ("a.png" if mode != "PA" else "a.tif"))
    for background, expected in (((0.0,), (0, 0, 0)), ((1.0,), (255, 255, 255)), ((0.2, 0.4, 0.6), (51, 102, 153))):
        data = load_data(tmp_path, split="all", background=background, colour="rgb")
        assert tuple(data.images[0, :, 0, 0].tolist()) == expected
        assert data.protocol["framing"]["background"] == list(background)


def test_grey_with_transparency_stays_grey_over_grey_and_is_coloured_over_colour():
    image = Image.new("LA", (4, 4), (100, 255))
    assert read_image(image).mode == "L" and read_image(image).getpixel((0, 0)) == 100
    assert read_image(image, (0.0, 0.0, 1.0)).mode == "RGB"


# --- files as they come ----------------------------------------------------------------------------------------------


def file_of(kind, folder):
    """A 6 x 4 picture, dark but for its bright left half, as that kind of file."""
    picture = Image.new("L", (6, 4), 0)
    picture.paste(255, (0, 0, 3, 4))
    colour = picture.convert("RGB")
    if kind == "animated.gif":
        picture.save(folder / kind, save_all=True, append_images=[Image.new("L", (6, 4), 128)] * 3)
    elif kind == "rotated.jpg":
        exif = colour.getexif()
        exif[0x0112] = 6
        colour.transpose(Image.Transpose.ROTATE_90).save(folder / kind, exif=exif, quality=100)
    elif kind == "16bit.png":
        Image.fromarray(np.asarray(picture).astype(np.uint16) * 257).save(folder / kind)
    else:
        mode = {"la": "LA", "palette": "P", "1bit": "1", "cmyk": "CMYK", "rgba": "RGBA", "rgb": "RGB", "l": "L"}
        colour.convert(mode[kind.split(".")[0]]).save(folder / kind)


@pytest.mark.parametrize(
    "kind",
    ["l.png", "palette.png", "palette.gif", "rgba.png", "rgba.webp", "la.png", "1bit.png", "1bit.tif", "16bit.png",
     "cmyk.jpg", "cmyk.tif", "rotated.jpg", "animated.gif", "rgba.tga", "rgb.ppm", "l.pgm", "1bit.pbm", "l.bmp",
     "rgb.jfif", "rgb.avif", "rgb.jp2"],
)  # fmt: skip
def test_the_same_picture_is_the_same_image_whatever_file_it_comes_in(kind, tmp_path):
    if f".{kind.split('.')[1]}" not in Image.registered_extensions():
        pytest.skip("this Pillow was built without it")
    file_of(kind, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = load_data(tmp_path, split="all", colour="grey").images[0, 0].float()
    expected = torch.tensor([255.0] * 3 + [0.0] * 3).expand(4, 6)
    assert (image - expected).abs().max() < 12  # JPEG rings


def test_a_picture_whose_exif_is_broken_is_read_without_a_word(tmp_path):
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"
    Image.new("L", (6, 4), 9).save(tmp_path / "a.jpg", exif=exif)
    assert load_data(tmp_path, split="all").images.shape == (1, 1, 4, 6)


def test_a_picture_whose_exif_is_broken_is_read_without_a_word_by_itself_too(tmp_path):
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff"
    Image.new("L", (6, 4), 9).save(tmp_path / "a.jpg", exif=exif)
    before = warnings.filters[:]
    assert read_image(tmp_path / "a.jpg").size == (6, 4) and warnings.filters == before
    with pytest.warns(UserWarning, match="EXIF"):
        opened = Image.open(tmp_path / "a.jpg")
    assert read_image(opened).size == (6, 4)


def test_reading_in_threads_leaves_the_filters_of_warnings_as_they_were(tmp_path):
    Image.new("L", (6, 4), 9).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    before = warnings.filters[:]
    with ThreadPoolExecutor(8) as pool:
        assert len([*pool.map(read_image, [tmp_path / "a.jpg"] * 200)]) == 200
    assert warnings.filters == before


def test_no_picture_starts_a_program(tmp_path, monkeypatch):
    drawing = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "a.png").write_bytes(drawing)
    started = []
    for name in ("Popen", "run", "call", "check_call", "check_output"):
        monkeypatch.setattr(subprocess, name, lambda *args, **_: started.append(args))
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    with pytest.raises(UNREADABLE):
        read_image(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"1 of 1 images .* unreadable, .*a\.png \(empty, or of no format"):
        load_data(tmp_path, split="all")
    assert not started


def test_the_formats_that_are_read_are_those_of_the_suffixes():
    assert {"PNG", "JPEG", "GIF", "TIFF", "BMP", "PPM"} <= set(formats()) <= set(Image.OPEN)
    assert "EPS" not in formats()


# --- memory ----------------------------------------------------------------------------------------------------------


def test_images_in_memory_are_data_whatever_holds_them(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3)).astype(np.uint8)
    pictures = [Image.fromarray(a) for a in array]
    for i, picture in enumerate(pictures):
        picture.save(tmp_path / f"{i}.png")
    paths = sorted(tmp_path.iterdir())
    expected = torch.from_numpy(array).permute(0, 3, 1, 2)
    floats = torch.from_numpy(array / 255).permute(0, 3, 1, 2)
    for held in (array, expected, floats, floats.float().requires_grad_(), pictures, paths, [str(p) for p in paths]):
        data = from_images(held)
        assert isinstance(data, ImageData) and torch.equal(data.images, expected)
        assert data.protocol["split"] == "all" and data.params == {}


def test_images_in_memory_are_copied():
    mine = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    data = from_images(mine)
    mine += 1
    assert data.images.max() == 0


def test_an_array_that_cannot_be_written_to_is_read_without_a_warning():
    array = np.zeros((2, 4, 4), np.uint8)
    array.flags.writeable = False
    assert len(from_images(array[:, ::-1])) == 2


@pytest.mark.parametrize("suffix", [None, ".npy"])
def test_an_array_of_many_channels_is_no_guess(suffix, tmp_path):
    for shape in ((20, 32, 32, 5), (2, 5, 8, 8)):
        array, read = np.zeros(shape, np.uint8), from_images
        if suffix is not None:
            np.save(tmp_path / "a.npy", array)
            array, read = tmp_path / "a.npy", load_data
        with pytest.raises(ValueError, match=r"at most 4 channels in axis 1 or in the last of .*, got \(2") as caught:
            read(array)
        assert "\n" not in str(caught.value)
    assert from_images(torch.zeros(2, 5, 8, 8)).images.shape == (2, 5, 8, 8)


def test_small_tensors_are_never_taken_for_channels_last():
    assert from_images(torch.zeros(2, 8, 3, 3)).images.shape == (2, 8, 3, 3)


@pytest.mark.parametrize(
    ("images", "error", "match"),
    [
        (torch.zeros(3, 4, 4), ValueError, r"tensor \(N, C, H, W\) of images, got shape \(3, 4, 4\)"),
        (torch.full((1, 1, 4, 4), 2.0), ValueError, r"floats in images must be in \[0, 1\], got 2 to 2"),
        (np.zeros((2, 4, 4), np.int64), ValueError, "images must hold uint8"),
        ([], TypeError, "list of Pillow images or paths, got list"),
        ("a.png", TypeError, "got str"),
        ([Image.new("L", (4, 4)), 3], TypeError, "got list"),
        ([Image.new("L", (4, 4)), Image.new("L", (4, 5))], ValueError, "'images' differ in size"),
        (["no.png"], ValueError, "1 of 1 images in 'images' are unreadable"),
    ],
)
def test_what_cannot_be_images_is_refused_in_one_sentence(images, error, match):
    with pytest.raises(error, match=match) as caught:
        from_images(images)
    assert "\n" not in str(caught.value)


# --- the rule itself -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"size": 0}, "image size must be >= 1 pixel, got 0"),
        ({"resize_mode": "tiles"}, "fit='tiles' cuts squares of one size"),
        ({"resize_mode": "stretch"}, "must be one of 'resize', 'crop', 'tiles', got 'stretch'"),
        ({"colour": "sepia"}, "must be one of 'auto', 'grey', 'rgb'"),
        ({"background": (0.5, 0.5)}, "one number or three"),
        ({"background": (255.0,)}, r"in \[0, 1\]"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        load_data("digits", **fields)


def test_the_rule_in_a_protocol_makes_the_same_images_again(tmp_path):
    for i in range(3):
        Image.new("RGBA", (9 + i, 7), (255, 0, 0, 60 * i)).save(tmp_path / f"{i}.png")
    data = load_data(tmp_path, split="all", size=4, resize_mode="crop", background=(0.25,))
    kept = json.loads(json.dumps(data.protocol))
    assert kept == data.protocol
    framing = Framing.from_config(kept["framing"])
    assert framing.colour == "rgb"
    again = [framing.tensors(framing.read(file))[0] for file in sorted(tmp_path.iterdir())]
    assert torch.equal(torch.stack(again), data.images)
    as_bytes = framing.read((tmp_path / "0.png").read_bytes())
    assert torch.equal(framing.tensors(as_bytes)[0], data.images[0])
