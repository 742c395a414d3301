"""Where two pictures differ, and by how much: a map in colours, with a bar that says what they mean."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from ..data.image_io import rgb, to_image
from .sheets import CLOSE, GAP, font_for, labelled_rows

# Blue to red across near-white, which all eyes tell apart; and from white through orange to dark for what has no sign.
SIGNED = ((5, 48, 97), (67, 147, 195), (247, 247, 247), (214, 96, 77), (103, 0, 31))
UNSIGNED = ((255, 255, 255), (253, 174, 107), (217, 72, 1), (103, 30, 2), (40, 8, 0))
Colours = tuple[tuple[int, int, int], ...]
SHOWN = 0.995  # of the pixels have a colour of their own
LEAST = 1 / 255  # of what the bar spans: below it is rounding


def difference(
    a: Float[Tensor, "C H W"],
    b: Float[Tensor, "C H W"],
    *,
    absolute: bool = False,
    limit: float | None = None,
    titles: tuple[str, str] = ("a", "b"),
    zoom: int | None = None,
) -> Image.Image:
    """Two pictures, and b - a beside them with a colour bar; an error map where a is clean and b restored.

    The map is the mean over the channels, of |b - a| if `absolute`: a change of hue alone shows only there.

    Args:
        a, b: of one shape, in [0, 1].
        absolute: leave out the sign.
        limit: where the bar ends, > 0; beyond it, colours stay. What 99.5% of the pixels are within if left out: a
            few of them would make a map of a photograph pale.
        titles: what stands below them.
        zoom: repeats pixels.

    Raises:
        ValueError: pictures that are not alike, or a limit that is not > 0.
    """
    change, limit = _change(a, b, absolute, limit)
    colours = UNSIGNED if absolute else SIGNED
    shown = torch.stack([rgb(a).double().cpu(), rgb(b).double().cpu(), _mapped(change, limit, colours)])
    zoom = zoom or -(-CLOSE // a.shape[-1])
    change_told = f"{titles[1]} - {titles[0]}"
    sheet = labelled_rows([("", shown)], [*titles, f"|{change_told}|" if absolute else change_told], zoom=zoom)
    bar = _bar(a.shape[-2] * zoom, limit, colours, beyond=bool((change.abs() > limit + 1e-9).any()))
    whole = Image.new("RGB", (sheet.width + bar.width, sheet.height), "white")
    whole.paste(sheet, (0, 0))
    whole.paste(bar, (sheet.width, 0))
    return whole


def difference_map(
    a: Float[Tensor, "C H W"], b: Float[Tensor, "C H W"], *, absolute: bool = False, limit: float | None = None
) -> Float[Tensor, "3 H W"]:
    """The map of `difference` alone, as colours in [0, 1]."""
    return _mapped(*_change(a, b, absolute, limit), UNSIGNED if absolute else SIGNED)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _change(a: Tensor, b: Tensor, absolute: bool, limit: float | None) -> tuple[Tensor, float]:
    """What is mapped, (H, W), and where its colours end."""
    if a.shape != b.shape:
        raise ValueError(f"the pictures must be alike, got {_describe(a)} and {_describe(b)}")
    if limit is not None and not 0 < limit < math.inf:
        raise ValueError(f"limit must be > 0, got {limit}")
    change = (b.double() - a.double()).cpu()
    change = (change.abs() if absolute else change).mean(dim=0)
    most = change.abs().flatten().kthvalue(math.ceil(SHOWN * change.numel())).values
    return change, limit or max(float(most), LEAST)


def _mapped(change: Tensor, limit: float, colours: Colours) -> Tensor:
    """Straight lines between the colours of the map, which are evenly spaced: (3, H, W)."""
    table = torch.tensor(colours, dtype=torch.float64) / 255
    share = (change / limit).clamp(-1, 1)
    place = (share if colours is UNSIGNED else (share + 1) / 2) * (len(table) - 1)
    low = place.floor().clamp(max=len(table) - 2).long()
    return torch.lerp(table[low], table[low + 1], (place - low)[..., None]).permute(2, 0, 1)


def _bar(height: int, limit: float, colours: Colours, *, beyond: bool) -> Image.Image:
    """The colours from the top of the scale to its foot, and the numbers beside them; whether there is more beyond."""
    font, signed = font_for(height), colours is SIGNED
    inside = max(height - font.size, 2)  # room for half a number above and below
    values = torch.linspace(limit, -limit if signed else 0, inside, dtype=torch.float64)
    strip = to_image(_mapped(values[:, None].expand(-1, font.size), limit, colours))
    over, under = ("> ", "< ") if beyond else ("", "")
    told = [(0, f"{over}{limit:{'+' if signed else ''}.2g}"), (inside, f"{under}{-limit:.2g}" if signed else "0")]
    told += [(inside // 2, "0" if signed else f"{limit / 2:.2g}")] if height > 3 * font.size else []
    left = strip.width + 12
    room = left + max(int(font.getlength(text)) for _, text in told) + 6
    bar = Image.new("RGB", (room, height + GAP), "white")
    top = GAP + (height - inside) // 2
    bar.paste(strip, (6, top))
    draw = ImageDraw.Draw(bar)
    for place, text in told:
        draw.text((left, top + place), text, fill="black", font=font, anchor="lm")
    return bar


def _describe(x: Tensor) -> str:
    kind = {1: "grey", 3: "in colour"}.get(len(x), f"of {len(x)} channels")
    return f"{x.shape[-1]} x {x.shape[-2]} pixels {kind}"
