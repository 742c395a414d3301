"""Files that a stranger may have written, and a piece of what refuses each."""

from __future__ import annotations

import json
import os
import pickle
import struct
import time
from pathlib import Path

import pytest

from colddiff.models.serialization import SHIPPED


def text(**changes) -> bytes:
    """A config as it is, but for some entries."""
    return json.dumps(json.loads((SHIPPED / "digits" / "config.json").read_text()) | changes).encode()


def operator(name: str, **fields) -> bytes:
    return text(degradation={"type": name, **fields})


def network(**fields) -> bytes:
    return text(restorer={"type": "unet", "channels": 1, **fields})


def nested(depth: int, value):
    for _ in range(depth):
        value = {"type": "one_of", "options": [value]}
    return value


CONFIGS = {
    "deep": (b"[" * 100_000, "values lie in each other too deep"),
    "deep-for-us": (text(degradation=nested(300, "jpeg")), "values lie in each other"),
    "twice": (text().replace(b'"step"', b'"format": 2, "step"'), "the key 'format' is there twice"),
    "nan": (text(step=float("nan")), "NaN is no finite number"),
    "infinite": (text().replace(b"3.0", b"1e999"), "1e999 is no finite number"),
    "digits": (text().replace(b"3.0", b"3" * 10**5), "limit (4300 digits)"),
    "wide": (operator("gaussian_blur", sigma_max=10**300), "a number of 997 bits"),
    "latin": (b"\xff\xfe" + text(), "codec can't decode"),
    "list": (b"[1, 2]", "is not a colddiff run's config: name a folder that"),
    "large": (text(note="A" * 2**21), "is larger than 1,048,576 bytes"),
    "width": (network(width=10**9), "a network has at most 8,192 features, this one would have 4,000,000,000"),
    "not-its-weights": (network(width=8192, multipliers=[1] * 10, blocks=16), "do not fit the network"),
    "blocks": (network(blocks=10**9), "at most 16 blocks"),
    "levels": (network(multipliers=[1] * 10**5), "at most 10 levels"),
    "channels": (network(cond_channels=10**9), "at most 2,048 channels"),
    "patch": (network(patch=10**6), "at most 64 pixels to the side of a patch"),
    "another-kind": (text(restorer={"type": "standard_normal"}), "no restorer is named 'standard_normal'"),
    "parts": (operator("compose", parts=["jpeg"] * 10**5), "at most 64 entries, got 100000"),
    "parts-of-parts": (operator("one_of", options=[{"type": "compose", "parts": ["jpeg"] * 60}] * 9), "64 parts"),
    "image": (text(image={"channels": 1, "size": [10**9, 10**9]}), "its image cannot be"),
    "image-words": (text(image={"channels": "1", "size": ["16", "16"]}), "its image cannot be"),
    "framing": (text(data={"framing": {"type": "framing", "size": 10**9}}), "image size must be >= 1 pixel"),
    "prior": (text(prior={"type": "lowres_gmm", "components": 10, "side": 10**9}), "cannot be fitted to tensors"),
    "condition": (text(training={"condition": {"type": "interpolate", "num_steps": 10**12}}), "<= 1,000,000"),
    "code": (operator("os.system", command="true"), "no degradation is named 'os.system'"),
    "path": (operator("../../../etc/passwd"), "no degradation is named '../../../etc/passwd'"),
    "long-name": (operator("A" * 10**5), "no degradation is named 'AAA"),
    "version": (text(version="1\n# <script>"), "its version cannot be '1"),
    "version-link": (text(version="[here](https://evil.example)"), "its version cannot be '[here]"),
    "step": (text(step=-1), "its step cannot be -1"),
    "step-bool": (text(step=True), "its step cannot be True"),
    "images": (text(data={"images": "# many"}), "its images cannot be '# many'"),
    "total-steps": (text(training={"total_steps": "<b>"}), "its total_steps cannot be '<b>'"),
    "batch": (text(training={"batch_size": "<b>"}), "its batch_size cannot be '<b>'"),
    "place": (text(data={"data": ["a", "b"]}), "its data cannot be ['a', 'b']"),
    "words": (text(training="none"), "its training cannot be 'none'; copy it again"),
}  # fmt: skip


OPERATORS = [
    ("gaussian_noise", {"betas": {"type": "linear", "num_steps": 10**12}}),
    ("animorph", {"betas": {"type": "table", "values": [2.0] * 10**5}}),
    ("iterated_blur", {"kernel_size": 10**8 + 1}),
    ("iterated_blur", {"num_steps": 10**12}),
    ("iterated_blur", {"sigmas": {"type": "exponential", "rate": 1e300}}),
    ("iterated_blur", {"kernel_size": None, "sigmas": {"type": "constant", "sigma": 1e5}}),
    ("gaussian_blur", {"sigma_max": 1e308}),
    ("blur_noise", {"sigma_max": 1e308}),
    ("gaussian_mask", {"num_steps": 10**12}),
    ("gaussian_mask", {"kernel_std": 1e308}),
    ("colour_mask", {"initial_mask": 10**18}),
    ("interpolate", {"num_steps": 10**12}),
    ("motion_blur", {"length": 1e9}),
    ("pixelate", {"largest": 2**60}),
    ("resolution", {"num_steps": 10**12}),
    ("snow", {"num_steps": 10**12}),
    ("spiral", {"num_steps": 10**12}),
    ("fade", {"num_steps": 10**12}),
    ("desaturate", {"num_steps": 10**12}),
    ("widening_blur", {"num_steps": 10**12}),
    ("pixel_mask", {"fill": [2.0] * 10**5}),
    ("gaussian_blur", {"schedule": {"type": "table", "values": [0.0] * 10**5}}),
]


class Bomb:
    """What a pickle would do."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def packed(header: bytes | dict, numbers: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with that header."""
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(told) if length is None else length) + told + numbers


def one(dtype: str = "F32", shape=(1,), begin: int = 0, end: int = 4) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


FILES = {
    "pickle": (pickle.dumps(Bomb(Path("executed"))), "its header is said to have"),
    "empty": (b"", "its header is said to have 0 bytes"),
    "header-2^60": (packed(b"{}", length=2**60), "its header is said to have 1,152,921,504,606,846,976 bytes"),
    "header-past-the-end": (packed(b"{}", length=3), "its header is said to have 3 bytes"),
    "header-10-MiB": (packed(b" " * 10 * 2**20), "more than 4,194,304"),
    "no-json": (packed(b"\x80\x04\x95"), "is not valid JSON"),
    "a-list": (packed(b"[]"), "names no tensors"),
    "deep": (packed(b"[" * 10**5), "values lie in each other too deep"),
    "twice": (packed(b'{"a": {}, "a": {}}'), "the key 'a' is there twice"),
    "2^60-numbers": (packed({"a": one(shape=(2**60,), end=2**62)}), "it cannot hold 'a'"),
    "2^120-numbers": (packed({"a": one(shape=(2**60, 2**60), end=2**62)}), "it cannot hold 'a'"),
    "less-than-none": (packed({"a": one(shape=(-1,), end=-4)}), "it cannot hold 'a'"),
    "past-the-end": (packed({"a": one(shape=(2,), end=8)}, bytes(4)), "it cannot hold 'a'"),
    "overlapping": (packed({"a": one(), "b": one()}, bytes(4)), "its tensors overlap"),
    "hidden": (packed({"a": one()}, bytes(12)), "leave something between"),
    "fp8": (packed({"a": one("F8_E4M3", end=1)}, bytes(1)), "it cannot hold 'a'"),
    "words": (packed({"a": "tensor"}), "it cannot hold 'a'"),
}  # fmt: skip


SECONDS = 2.0  # that a refusal may take
REFUSED = (ValueError, TypeError, LookupError, FileNotFoundError)


def refusal(reader, *arguments) -> str:
    """The line with which something is refused, in time: that of the processor, which other programs do not change."""
    began = time.process_time()
    with pytest.raises(REFUSED) as caught:
        reader(*arguments)
    assert time.process_time() - began < SECONDS
    message = str(caught.value.args[0])
    assert "\n" not in message and len(message) < 500, message
    return message
