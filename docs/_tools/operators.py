"""Write gallery/operators.md and its film strips from the operators themselves: `python docs/_tools/operators.py`.

The words are those of the docstrings, so that the page cannot say anything else; a test compares.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import torch
from PIL import Image
from skimage.data import astronaut, chelsea

import colddiff as cd
from colddiff.data.image_io import fit, to_tensor
from colddiff.samplers.unknown_params import default_sampler
from colddiff.utils.config import registered
from colddiff.viz import grid

GALLERY = Path(__file__).parents[1] / "gallery"
SIDE, COLOURS, TIMES = 56, 96, (0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1)

GROUPS = {
    "Blur": ("gaussian_blur", "iterated_blur", "widening_blur", "motion_blur", "blur_noise"),
    "Missing pixels": ("gaussian_mask", "colour_mask", "pixel_mask", "spiral", "salt_and_pepper"),
    "Resolution and codecs": ("pixelate", "resolution", "jpeg", "jpeg_pillow"),
    "Noise": ("gaussian_noise", "uniform_noise", "pixel_noise"),
    "Colour and weather": ("desaturate", "fade", "snow"),
    "Another image": ("interpolate", "animorph"),
    "Made of others": ("compose", "one_of"),
}

# Fields that suit 56 pixels; the defaults suit the paper's 32.
SHOWN = {
    "blur_noise": cd.BlurNoise(sigma_max=8.0),
    "colour_mask": cd.ColourMask(num_steps=100, kernel_std=0.25),
    "compose": cd.Compose(parts=(cd.GaussianBlur(sigma_max=2.0), cd.Desaturate(), cd.SaltAndPepper(share=0.2))),
    "gaussian_mask": cd.GaussianMask(kernel_std=0.4, initial_mask=1, random_center=False),
    "gaussian_noise": cd.GaussianNoise(betas=cd.CosineBetas()),
    "iterated_blur": cd.IteratedBlur(
        num_steps=20, kernel_size=11, sigmas=cd.ConstantSigma(sigma=2.0), border="reflect"
    ),
    "jpeg": cd.Jpeg(quality_min=1),
    "jpeg_pillow": cd.JpegPillow(quality_min=1),
    "motion_blur": cd.MotionBlur(length=24.0, angle=30.0),
    "one_of": cd.OneOf(options=(cd.GaussianBlur(), cd.SaltAndPepper())),
    "pixel_noise": cd.PixelNoise(sigma=100.0),
    "resolution": cd.Resolution(num_steps=5),
    "snow": cd.Snow(fix_brightness=False),
    "spiral": cd.Spiral(num_steps=SIDE**2),
}

CLAIMS = {
    cd.Claims.LINEAR: "linear",
    cd.Claims.MONOTONE: "monotone",
    cd.Claims.DIFFERENTIABLE: "differentiable",
    cd.Claims.TRACEABLE: "traceable",
    cd.Claims.POINTWISE: "pointwise",
}

HEAD = """# Operators

After this page you can choose an operator, set its fields, and know what it does to an image.

Every degradation that the library registers, on one photograph of 56 pixels from t = 0 to t = 1. The words are those of
the code; the page is written by `docs/_tools/operators.py`, and a test compares.

Each is a frozen value: `cd.GaussianBlur(sigma_max=12)` or `cd.degradation("gaussian_blur", sigma_max=12)` in Python,
`--degradation gaussian_blur --degradation.sigma_max 12` on the command line. Each has one field more, `schedule`, the
[warp of time](../reference/api/schedules.md) from t to the severity s. x is an image in [0, 1], c = 2 x - 1 the
centred image. What it *claims* is what the [conformance suite](../reference/api/testing.md) holds it to; *known in a
restore* says how its params are found, see [your own degradation](../start/own-degradation.md).
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, names in GROUPS.items():
        parts += [f"\n## {title}\n", *(section(name) for name in names)]
    return "\n".join(parts)


def section(name: str) -> str:
    """An operator: film strip, formula, fields, claims, source."""
    cls = registered("colddiff.degradations")[name]
    op = SHOWN.get(name) or cls()
    told = sections(cls)
    rows = [f"| `{f}` | `{default}` | {cell(words)} |" for f, default, words in fields(cls)]
    table = ["| field | default | |", "|---|---|---|", *rows, ""] if rows else []
    facts = [("Params", told.get("Params", "none: it is deterministic" if op.deterministic else ""))]
    facts += [("Claims", claims(cls, op)), ("Known in a restore", known(op))]
    facts += [("Source", told.get("Source", "")), ("Raises", told.get("Raises", ""))]
    lines = [f"*{label}:* {escaped(' '.join(words.split()))}\n" for label, words in facts if words]
    return "\n".join(
        [f"### {name}\n", f"`cd.{cls.__name__}`\n", f"![{name} from t = 0 to t = 1](operators/{name}.png)\n",
         f"{escaped(told[''])}\n", *table, *lines]
    )  # fmt: skip


def sections(cls: type) -> dict[str, str]:
    """A docstring by its sections; what is before the first has no name."""
    parts = re.split(r"^(Args|Params|Source|Raises):", inspect.cleandoc(cls.__doc__ or ""), flags=re.MULTILINE)
    return {
        "": parts[0].strip(),
        **{name: inspect.cleandoc(text) for name, text in zip(parts[1::2], parts[2::2], strict=True)},
    }


def fields(cls: type) -> list[tuple[str, str, str]]:
    """(name, default, words) of every field but the schedule, the words from the class that declares it."""
    words: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        entries = re.split(r"^(?=[\w, ]+:)", sections(base).get("Args", ""), flags=re.MULTILINE)
        for entry in filter(None, map(str.strip, entries)):
            names, _, text = entry.partition(":")
            words |= {name.strip(): " ".join(text.split()) for name in names.split(",")}
    found = []
    for field in dataclasses.fields(cls):
        if field.name != "schedule":
            default = "" if field.default is dataclasses.MISSING else shown(field.default)
            found.append((field.name, default or "required", words[field.name]))
    return found


def shown(value: object) -> str:
    return re.sub(r"\b(schedule=Linear\(\)(, )?)", "", repr(value))


def claims(cls: type, op: cd.Degradation) -> str:
    words = [word for claim, word in CLAIMS.items() if claim in op.claims]
    own = ", ".join(words) or "nothing"
    depends = isinstance(inspect.getattr_static(cls, "claims", None), property) and "claims" in vars(cls)
    return f"{own}{' (as it is shown; others with other fields)' if depends else ''}."


def known(op: cd.Degradation) -> str:
    if op.deterministic:
        how = "nothing has to be"
    elif op.observable:
        how = "read off the picture"
    elif op.estimable:
        how = "estimated after a first answer"
    else:
        how = "no: drawn anew"
    return f"{how}; the sampler taken where nobody chooses is `{default_sampler(op)}`."


def cell(text: str) -> str:
    return escaped(text).replace("|", "\\|")


def escaped(text: str) -> str:
    """Words as Markdown that shows them as they are, but for code in backticks."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        p if p.startswith("`") else re.sub(r"[*]|<(?=\S)|\b_(?!\w)|(?<!\w)_\b", r"\\\g<0>", p) for p in pieces
    )


def strip(name: str) -> Image.Image:
    """One photograph at eight times."""
    op = SHOWN.get(name) or registered("colddiff.degradations")[name]()
    x = read(astronaut())
    others = {required: read(chelsea()) for required in op.required_params}
    params = op.draw(x, torch.Generator().manual_seed(0)) | others
    D = op.bind(params, like=x)
    sheet = grid(torch.cat([D(x, t) for t in TIMES]), len(TIMES))
    return sheet.convert("P", palette=Image.Palette.ADAPTIVE, colors=COLOURS)


def read(picture: object) -> torch.Tensor:
    return to_tensor(fit(Image.fromarray(picture), SIDE))[None].float() / 255


if __name__ == "__main__":
    (GALLERY / "operators").mkdir(exist_ok=True)
    for name in registered("colddiff.degradations"):
        strip(name).save(GALLERY / "operators" / f"{name}.png", optimize=True)
    (GALLERY / "operators.md").write_text(page(), encoding="utf-8")
