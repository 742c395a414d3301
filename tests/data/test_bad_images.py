"""Every file that somebody may take for a picture is read right, or refused in one line that says why."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from support.bad_inputs import COMMANDS, RUN, chunk, encoded, inside, lines_of, picture, png

from colddiff import from_images, load_data
from colddiff.data.framing import Framing
from colddiff.data.image_io import IMAGE_SUFFIXES, read_images

examples = settings(max_examples=60, deadline=None, derandomize=True, database=None)


# --- pictures ---------------------------------------------------------------------------------------------------------


def with_sides(data, offset, form, *sides):
    """An encoded picture whose header tells other sides."""
    packed = struct.pack(form, *sides)
    return data[:offset] + packed + data[offset + len(packed) :]


def turned():
    exif = Image.Exif()
    exif[274] = 6  # lies on its side: to be turned by a quarter, clockwise
    return exif


def moving(kind, **options):
    return encoded(picture(), kind, save_all=True, append_images=[Image.new("RGB", (7, 5), "white")], **options)


def sixteen():
    levels = np.full((5, 7), 257 * 60, np.uint16)
    levels[0, 0] = 257 * 200
    return encoded(Image.fromarray(levels))


def see_through(kind, mode):
    """Nothing but the first pixel, which is black, is to be seen: the rest lies over white."""
    image = Image.new("RGBA", (7, 5), (255, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    return encoded(image if mode == "RGBA" else image.quantize(4), kind)


TOP_LEFT, TOP_RIGHT, BLACK, WHITE = (0, 0, 90), (180, 0, 90), (0, 0, 0), (255, 255, 255)
# Bytes, name: the size of what is read, its first pixel, and the one at the other end of the first row.
RIGHT = {
    "a plain picture": (encoded(picture()), "a.png", (7, 5), TOP_LEFT, TOP_RIGHT),
    "a wrong extension": (encoded(picture()), "a.jpg", (7, 5), TOP_LEFT, TOP_RIGHT),
    "a capital extension": (encoded(picture(), "BMP"), "a.BMP", (7, 5), TOP_LEFT, TOP_RIGHT),
    "1 x 1": (encoded(Image.new("RGB", (1, 1), (1, 2, 3))), "a.png", (1, 1), (1, 2, 3), (1, 2, 3)),
    "1 x 300": (encoded(Image.new("L", (1, 300), 9)), "a.png", (1, 300), (9, 9, 9), (9, 9, 9)),
    "an animated GIF": (moving("GIF"), "a.gif", (7, 5), TOP_LEFT, TOP_RIGHT),
    "an animated PNG": (moving("PNG"), "a.png", (7, 5), TOP_LEFT, TOP_RIGHT),
    "an animated WebP": (moving("WEBP", lossless=True), "a.webp", (7, 5), TOP_LEFT, TOP_RIGHT),
    "several pages": (moving("TIFF"), "a.tif", (7, 5), TOP_LEFT, TOP_RIGHT),
    "16 bits": (sixteen(), "a.png", (7, 5), (200, 200, 200), (60, 60, 60)),
    "16 bits of PGM": (b"P5 2 1 65535\n\xc8\xc8\x3c\x3c", "a.pgm", (2, 1), (200, 200, 200), (60, 60, 60)),
    "CMYK": (encoded(Image.new("CMYK", (7, 5), (0, 0, 0, 255)), "TIFF"), "a.tif", (7, 5), BLACK, BLACK),
    "a palette": (encoded(picture().quantize(64)), "a.png", (7, 5), TOP_LEFT, TOP_RIGHT),
    "a palette with alpha": (see_through("PNG", "P"), "a.png", (7, 5), BLACK, WHITE),
    "a palette with a hole": (see_through("GIF", "RGBA"), "a.gif", (7, 5), BLACK, WHITE),
    "colour with alpha": (see_through("PNG", "RGBA"), "a.png", (7, 5), BLACK, WHITE),
    "one bit": (encoded(Image.new("1", (7, 5), 1)), "a.png", (7, 5), WHITE, WHITE),
    "turned by EXIF": (encoded(picture(), "PNG", exif=turned()), "a.png", (5, 7), (0, 160, 90), TOP_LEFT),
}  # fmt: skip
LINE = encoded(Image.new("RGB", (2, 2)), "BMP")
UNKNOWN, CUT = r"empty, or of no format that Pillow knows", r"truncated|broken data stream|Truncated"
# Bytes, name: why it cannot be read.
WRONG = {
    "empty": (b"", "a.png", UNKNOWN),
    "text": (b"<html>404</html>", "a.jpg", UNKNOWN),
    "a program for another program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 5\n", "a.png", UNKNOWN),
    "a truncated PNG": (encoded(Image.effect_noise((40, 40), 50))[:500], "a.png", CUT),
    "a truncated JPEG": (encoded(Image.effect_noise((40, 40), 50), "JPEG")[:700], "a.jpg", CUT),
    "zero wide": (png(0, 5), "a.png", UNKNOWN),
    "zero high": (with_sides(LINE, 18, "<ii", 2, 0), "a.bmp", UNKNOWN),
    "a header of 40,000 x 40,000": (png(40_000, 40_000), "a.png", r"1600000000 pixels.* make it smaller"),
    "a BMP of 40,000 x 40,000": (with_sides(LINE, 18, "<ii", 40_000, 40_000), "a.bmp", "make it smaller"),
    "a PGM of 40,000 x 40,000": (b"P5 40000 40000 255\n" + b"\0" * 9, "a.pgm", "make it smaller"),
    "a bomb": (png(13_400, 13_400, bytes(13_401 * 13_400)), "a.png", r"179560000 pixels.* make it smaller"),
    "a bomb of text": (png(2, 2, bytes(6), chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**24)))), "a.png", "large"),
    "numbers of unknown range": (encoded(Image.new("F", (7, 5), 0.5), "TIFF"), "a.tif", "save it with 8 or 16 bits"),
    "32 bits": (encoded(Image.fromarray(np.full((5, 7), 70_000, np.int32)), "TIFF"), "a.tif", "save it with 8 or 16"),
}  # fmt: skip


@pytest.fixture
def album(tmp_path):
    """A folder with one file of some bytes and name."""

    def make(data, name):
        (tmp_path / "album").mkdir()
        (tmp_path / "album" / name).write_bytes(data)
        return tmp_path / "album" / name

    return make


ROADS = {
    "load_data": lambda file: load_data(file.parent, split="all", colour="rgb").images[0],
    "from_images": lambda file: from_images([file], colour="rgb").images[0],
    "Run.restore": lambda file: np.array(RUN.restore(file, sampler="one_shot")),
    "read_images": lambda file: read_images(file)[0] * 255,
}


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("row", RIGHT)
def test_a_picture_of_any_make_is_read_right_on_every_road(row, road, album):
    data, name, size, first, last = RIGHT[row]
    got = torch.as_tensor(ROADS[road](album(data, name)))
    got = got if len(got) in (1, 3) and got.shape[1:] == size[::-1] else got.permute(2, 0, 1)
    assert tuple(got.shape[1:]) == size[::-1]
    assert torch.allclose(got.expand(3, -1, -1)[:, 0, 0].float(), torch.tensor(first).float(), atol=0.6)
    assert torch.allclose(got.expand(3, -1, -1)[:, 0, -1].float(), torch.tensor(last).float(), atol=0.6)


@pytest.mark.parametrize(
    "row", ["an animated GIF", "16 bits", "CMYK", "a palette with alpha", "turned by EXIF", "1 x 1"]
)
def test_the_commands_take_a_picture_of_any_make(row, album, tmp_path, capsys):
    data, name, size, *_ = RIGHT[row]
    file = album(data, name)
    assert lines_of(capsys, *COMMANDS["degrade"](file, tmp_path)) == (0, [])
    assert lines_of(capsys, *COMMANDS["restore"](file, tmp_path / "o")) == (0, [])
    with Image.open(tmp_path / "o" / "a.png") as made:
        assert made.size == size
    assert inside(tmp_path / "o") == [tmp_path / "o" / "a.png"]


@pytest.mark.parametrize("road", ROADS)
@pytest.mark.parametrize("row", WRONG)
def test_what_is_no_picture_is_one_sentence_on_every_road(row, road, album, monkeypatch):
    data, name, told = WRONG[row]
    file = album(data, name)
    if "40,000" in row or row == "a bomb":  # refused by its header: memory has a bound
        monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    with pytest.raises(ValueError, match=told) as failure:
        ROADS[road](file)
    line = str(failure.value)
    assert "\n" not in line and (name in line or road == "from_images")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("row", WRONG)
def test_what_is_no_picture_ends_a_command_in_one_line_and_leaves_nothing(row, command, album, tmp_path, capsys):
    data, name, _ = WRONG[row]
    file = album(data, name)
    before = inside(tmp_path)
    code, lines = lines_of(capsys, *COMMANDS[command](file, tmp_path / "o"))
    assert code == 2 and len(lines) == 1 and lines[0].startswith("colddiff: ") and name in lines[0]
    assert inside(tmp_path) == before


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (0, 0)], ids=str)
def test_an_open_picture_without_pixels_is_told_so(size):
    for ask in (RUN.restore, RUN.degrade, lambda image: from_images([image], size=8)):
        with pytest.raises(ValueError, match="it has no pixels"):
            ask(Image.new("RGB", size))


def test_an_open_picture_that_was_cut_is_told_so():
    with (
        Image.open(io.BytesIO(WHOLE["PNG"][:300])) as image,
        pytest.raises(ValueError, match="this Pillow picture is not"),
    ):
        RUN.restore(image)


@pytest.mark.parametrize("size", [(1, 4_000_000), (4_000_000, 1)], ids=str)
def test_a_line_of_pixels_is_not_enlarged_until_the_memory_is_full(size, album, capsys, tmp_path):
    file = album(png(*size, bytes((size[0] + 1) * size[1])), "line.png")
    with pytest.raises(ValueError, match=r"line\.png \(resized from .* pixels: cut it first, or give a smaller size\)"):
        load_data(file.parent, split="all", size=512)
    arguments = ["degrade", file, "--degradation", "pixelate", "--image-size", 512, "--out", tmp_path / "o.png"]
    code, lines = lines_of(capsys, *arguments)
    assert code == 2 and len(lines) == 1 and "cut it first" in lines[0] and not (tmp_path / "o.png").exists()


# --- any bytes --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def anywhere(tmp_path_factory):
    return tmp_path_factory.mktemp("any")


def read_or_refused(file):
    """A picture of 8 bits, or one sentence that names the file."""
    try:
        image = Framing().open(file)
    except ValueError as error:
        line = str(error)
        assert line.startswith(f"{str(file)!r} is not a readable picture: ") and "\n" not in line
        assert line.isprintable()
        return None
    assert image.mode in ("L", "RGB") and np.asarray(image).dtype == np.uint8 and 0 not in image.size
    return image


MAGIC = [
    b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF\0\1\0\0WEBPVP8 ",
    b"P5 3 3 255\n", b"P6 9 9 70000\n", b"\0\0\0\x0cjP  \r\n\x87\n", b"\0\0\0 ftypavif", b"\0\0\2" + bytes(9),
]  # fmt: skip


@examples
@given(st.sampled_from(sorted(IMAGE_SUFFIXES)), st.sampled_from(MAGIC), st.binary(max_size=200))
def test_any_bytes_are_a_picture_or_refused(anywhere, suffix, magic, data):
    file = anywhere / f"a{suffix}"
    file.write_bytes(magic + data)
    read_or_refused(file)


NOISE = Image.effect_noise((23, 17), 60).convert("RGB")
WHOLE = {kind: encoded(NOISE, kind) for kind in ("PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "TGA", "JPEG2000")}


@examples
@given(st.sampled_from(sorted(WHOLE)), st.floats(0, 1, exclude_max=True))
@example("PNG", 0.5)
def test_a_picture_that_was_cut_anywhere_is_a_picture_of_its_size_or_refused(anywhere, kind, share):
    file = anywhere / "cut.png"
    file.write_bytes(WHOLE[kind][: int(share * len(WHOLE[kind]))])
    image = read_or_refused(file)
    assert image is None or image.size == NOISE.size
    assert image is None or share > 0.9, "what is missing is no black half of a picture"


@examples
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_a_picture_with_a_wrong_byte_is_a_picture_or_refused(anywhere, kind, data):
    place = data.draw(st.integers(0, len(WHOLE[kind]) - 1))
    spoilt = bytearray(WHOLE[kind])
    spoilt[place] ^= data.draw(st.integers(1, 255))
    file = anywhere / "spoilt.png"
    file.write_bytes(bytes(spoilt))
    read_or_refused(file)
