"""Drawings for `sprites.py`: symmetric little creatures, ships and plants, each from eight random numbers."""

import colorsys

import numpy as np

x, y = abs(np.arange(16) - 7.5), np.arange(16)[:, None]  # pixels from the axis of symmetry, from the top
GROUNDS = ((0.11, 0.11, 0.18), (0.53, 0.75, 0.86), (0.93, 0.87, 0.73), (0.45, 0.62, 0.42))
DARK, EARTH, FLAME, GLASS, YELLOW = (0.07, 0.05, 0.1), (0.55, 0.3, 0.2), (1, 0.65, 0.1), (0.6, 0.9, 1), (1, 0.9, 0.4)


def disc(x0, y0, rx, ry):
    return ((x - x0) / rx) ** 2 + ((y - y0) / ry) ** 2 <= 1


def creature(u, shade):
    """Parts as (where, colour), from the back to the front: ears and limbs, body, belly, head, eyes, mouth."""
    top, wide, head, eyes = 5 + 1.5 * u[0], 3 + 2.5 * u[1], 3 + 1.8 * u[2], int(5 + 1.5 * u[0])
    legs = (abs(x - 1.5 - int(2 * u[4])) < 1) & (y > 11) & (y < 15) | (abs(y - 10) < 1) & (x < wide + 1.8)
    ears = (x == 0.5 + int(3.9 * u[3])) & (y > top - head - 3 * u[5]) & (y < top)
    yield legs | (ears if u[5] > 0.25 else disc(head, top - 2, 1.6, 1.6)), shade(0.65)
    yield disc(0, 10.5, wide, 3.4), shade(0.9)
    yield disc(0, 11, wide - 1.6, 2.2), shade(1, 0.35)
    yield disc(0, top, head, 2.9), shade(0.9)
    yield (x == 1.5) & (abs(y - eyes) < 1 + (u[6] > 0.5)), (1, 1, 1)
    yield (x == 1.5) & (y == eyes) | (x < 1 + (u[7] > 0.5)) & (y == eyes + 2), DARK


def ship(u, shade):
    """Flames, wings, hull, cockpit."""
    nose, wide, sweep = int(1 + 3 * u[0]), 2 + 2 * u[1], 1.2 * u[3]
    yield (abs(x - 0.5 - int(2.9 * u[4])) < 1) & (y > 11) & (y < 13.5 + 2 * u[5]), FLAME
    wings = (y > 6 + 0.6 * sweep * x) & (y < 9.5 + 3 * u[6] + 0.4 * sweep * x)
    yield wings & (x < 4.5 + 3 * u[2]) & (y < 14), shade(0.6)
    taper = wide * ((y - nose + 1).clip(0) / 8) ** (0.5 + u[7])
    yield (x < np.minimum(wide, taper + 0.3)) & (y >= nose) & (y < 13), shade(0.85, 0.5)
    yield disc(0, nose + 4, 1.2, 2), GLASS


def plant(u, shade):
    """Stem and leaves, pot, flower."""
    top, size, green = 3 + 2.5 * u[0], 2 + 2 * u[2], colorsys.hsv_to_rgb(0.25 + 0.15 * u[3], 0.7, 0.5 + 0.2 * u[4])
    yield (x < 1) & (y > top) & (y < 13) | disc(2 + size / 2, 7.5 + 3 * u[1], 1.2 + size / 2, 1 + u[5]), green
    yield (x < 2.2 + 1.6 * u[6] - 0.25 * (y - 12)) & (y > 11) & (y < 15), EARTH
    round_size = size * (u[7] > 0.5)
    yield disc(0, top, size + 0.6, max(1.4, round_size)) | disc(0, top, max(1.2, round_size), size + 0.6), shade(1)
    yield disc(0, top, 1, 1), YELLOW


def sprite(random):
    """(16, 16, 3) uint8: the parts with a dark outline, on a plain ground."""
    kind, ground, hue, u = random.integers(3), random.integers(4), random.integers(8) / 8, random.random(8)
    picture, covered = np.full((16, 16, 3), GROUNDS[ground]), np.zeros((18, 18), bool)
    for where, colour in (creature, ship, plant)[kind](u, lambda v, s=0.75: colorsys.hsv_to_rgb(hue, s, v)):
        picture[where] = colour
        covered[1:-1, 1:-1] |= where
    beside = covered[2:, 1:-1] | covered[:-2, 1:-1] | covered[1:-1, 2:] | covered[1:-1, :-2]
    picture[beside & ~covered[1:-1, 1:-1]] = DARK
    return (picture * 255).round().astype(np.uint8)
