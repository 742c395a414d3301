"""What the tests of bad input share: pictures as bytes, a run that changes nothing, commands that are watched."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from colddiff import GaussianBlur
from colddiff.apps.cli import main as cli
from support import tiny

RUN = tiny.run_of(tiny.Same(), GaussianBlur(sigma_max=1.0), (3, 8, 8))


def picture(width=7, height=5):
    """Whose corners differ."""
    red, green = np.meshgrid(np.arange(width) * 30, np.arange(height) * 40)
    return Image.fromarray(np.stack([red, green, np.full_like(red, 90)], -1).astype(np.uint8))


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data=b"", extra=b""):
    """What a grey PNG of any size is made of, whatever its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def inside(folder):
    return sorted(folder.rglob("*"))


def lines_of(capsys, *arguments):
    """What a command says on stderr, and its exit code."""
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code
    return code, capsys.readouterr().err.splitlines()


COMMANDS = {
    "restore": lambda file, out: ["restore", "digits", file, "--sampler", "one_shot", "--out", out],
    "degrade": lambda file, out: ["degrade", file, "--degradation", "pixelate", "--steps", 2, "--out", out / "a.png"],
    "train": lambda file, out: ["train", file.parent, "--degradation", "pixelate", "--steps", 1, "--out", out],
    "eval": lambda file, out: ["eval", "digits", file.parent, "--split", "all", "--out", out, "--perception", "none"],
}
