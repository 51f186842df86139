"""Side views of cars, drawn from style, body and paint."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from tabimg.datasets.car_catalogue import BODY_DOORS, BODYTYPES
from tabimg.datasets.car_law import PAINTS

OVERSAMPLING = 4
GROUND = 0.78  # of the image, from the top
BLIND_BODIES = frozenset({"Car Derived Van", "Panel Van"})  # no glass behind the front door
Point = tuple[float, float]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Profile:
    """Lines of a car, in shares of the image's side: x to the right, y up from the ground."""

    front: float
    rear: float
    height: float
    belt: float
    hood_end: float
    roof_start: float
    roof_end: float
    deck_start: float
    wheel: float

    @classmethod
    def from_style(cls, style: np.ndarray, centre: float, zoom: float) -> Profile:
        """Profile of a car of the given style (7,), see ``STYLE_NAMES``.

        tanh keeps every car drawable; it is monotone, so extreme styles still look different.
        """
        length, height, hood, deck, rake, wheel, belt = 3 * np.tanh(np.asarray(style) / 3)
        long = zoom * 0.66 * np.exp(0.11 * length)
        tall = zoom * 0.27 * np.exp(0.13 * height)
        front = centre - long / 2
        hood_end = front + long * (0.26 + 0.05 * hood)
        deck_start = front + long * (0.84 - 0.045 * deck)
        return cls(
            front=front,
            rear=front + long,
            height=tall,
            belt=tall * (0.58 + 0.06 * belt),
            hood_end=hood_end,
            roof_start=hood_end + 0.12 * long,
            roof_end=deck_start - long * (0.10 + 0.035 * rake),
            deck_start=deck_start,
            wheel=zoom * 0.062 * np.exp(0.14 * wheel),
        )


def draw_car(
    style: np.ndarray, bodytype: str, color: str, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the photo of one car, facing left.

    Parameters
    ----------
    style : array of shape (7,)
        Latent of the car; determines its lines.
    bodytype, color : str
        From ``BODYTYPES`` and ``PAINTS``; determine doors, glass, roof and paint.
    size : int
        Side in pixels.
    rng : numpy.random.Generator
        Stream of this photo: backdrop, light, position, zoom and grain, which say nothing about
        the car.

    Returns
    -------
    array of shape (size, size, 3), uint8
    """
    profile = Profile.from_style(style, 0.5 + rng.uniform(-0.02, 0.02), rng.uniform(0.985, 1.015))
    canvas = _Canvas(size * OVERSAMPLING, wall=_muted(rng, 150, 225), road=_muted(rng, 70, 130))
    _draw_body(canvas, profile, bodytype, PAINTS[color])
    _draw_glass(canvas, profile, bodytype)
    _draw_doors(canvas, profile, bodytype)
    _draw_wheels(canvas, profile)
    pixels = np.asarray(canvas.image.reduce(OVERSAMPLING), dtype=np.float64)
    light = rng.uniform(0.85, 1.1) * np.linspace(1.05, 0.95, size)[:, None, None]
    grain = 4 * rng.standard_normal((size, size, 1))
    return np.clip(np.round(pixels * light + grain), 0, 255).astype(np.uint8)


class _Canvas:
    """A drawing in shares of the side, with y up from the ground."""

    def __init__(self, side: int, wall: Colour, road: Colour) -> None:
        self.side = side
        self.image = Image.new("RGB", (side, side), wall)
        self._draw = ImageDraw.Draw(self.image)
        self._draw.rectangle((0, 0.74 * side, side, side), fill=road)

    def polygon(self, points: list[Point], fill: Colour) -> None:
        self._draw.polygon([self._place(point) for point in points], fill=fill)

    def line(self, start: Point, end: Point, fill: Colour) -> None:
        width = max(1, round(0.008 * self.side))
        self._draw.line([self._place(start), self._place(end)], fill=fill, width=width)

    def disc(self, x: float, y: float, radius: float, fill: Colour) -> None:
        left, top = self._place((x - radius, y + radius))
        right, bottom = self._place((x + radius, y - radius))
        self._draw.ellipse((left, top, right, bottom), fill=fill)

    def _place(self, point: Point) -> Point:
        return point[0] * self.side, (GROUND - point[1]) * self.side


def _draw_body(canvas: _Canvas, p: Profile, bodytype: str, paint: Colour) -> None:
    sill = 0.55 * p.wheel
    shadow = [(p.front, 0.012), (p.rear, 0.012), (p.rear, -0.02), (p.front, -0.02)]
    canvas.polygon(shadow, fill=(40, 40, 42))
    hull = [
        (p.front, sill),
        (p.front, 0.80 * p.belt),
        (p.front + 0.02, 0.90 * p.belt),
        (p.hood_end, p.belt),
        (p.deck_start, p.belt),
        (p.rear - 0.01, 0.95 * p.belt),
        (p.rear, sill),
    ]
    canvas.polygon(hull, fill=paint)
    cabin = [
        (p.hood_end, p.belt),
        (p.roof_start, p.height),
        (p.roof_end, p.height),
        (p.deck_start, p.belt),
    ]
    # A soft top is black cloth, whatever the paint.
    canvas.polygon(cabin, fill=(34, 32, 32) if bodytype == "Convertible" else paint)
    canvas.line((p.front, 0.45 * p.belt), (p.rear, 0.45 * p.belt), fill=_shade(paint, 0.8))
    lamp = 0.72 * p.belt
    canvas.disc(p.front + 0.02, lamp, 0.016, fill=(252, 246, 206))
    canvas.disc(p.rear - 0.016, lamp, 0.014, fill=(176, 18, 18))
    if bodytype == "Pickup":
        # The bed behind the cabin is open: a dark edge along its top.
        canvas.line((p.roof_end, p.belt), (p.rear - 0.01, 0.95 * p.belt), fill=(30, 30, 30))


def _draw_glass(canvas: _Canvas, p: Profile, bodytype: str) -> None:
    top, bottom = p.height - 0.14 * (p.height - p.belt), p.belt + 0.06 * (p.height - p.belt)
    rise = 0.86
    front_bottom = p.hood_end + 0.02
    front_top = p.hood_end + rise * (p.roof_start - p.hood_end) + 0.014
    rear_bottom = p.deck_start - 0.02
    rear_top = p.deck_start - rise * (p.deck_start - p.roof_end) - 0.014
    pillar = (p.roof_start + p.roof_end) / 2
    glass = (92, 112, 128)
    first = [(front_bottom, bottom), (front_top, top), (pillar - 0.008, top)]
    canvas.polygon([*first, (pillar - 0.008, bottom)], fill=glass)
    if bodytype not in BLIND_BODIES:
        second = [(pillar + 0.008, bottom), (pillar + 0.008, top), (rear_top, top)]
        canvas.polygon([*second, (rear_bottom, bottom)], fill=glass)


def _draw_doors(canvas: _Canvas, p: Profile, bodytype: str) -> None:
    seam = (24, 24, 26)
    pillar = (p.roof_start + p.roof_end) / 2
    seams = [p.hood_end + 0.02, pillar]
    if BODY_DOORS[BODYTYPES.index(bodytype)] >= 4:
        seams.append(p.deck_start - 0.02)
    for x in seams:
        canvas.line((x, 0.8 * p.wheel), (x, p.belt), fill=seam)


def _draw_wheels(canvas: _Canvas, p: Profile) -> None:
    long = p.rear - p.front
    for x in (p.front + 0.19 * long, p.rear - 0.19 * long):
        canvas.disc(x, p.wheel, 1.12 * p.wheel, fill=(18, 18, 20))
        canvas.disc(x, p.wheel, 0.6 * p.wheel, fill=(172, 174, 180))
        canvas.disc(x, p.wheel, 0.18 * p.wheel, fill=(60, 60, 64))


def _muted(rng: np.random.Generator, low: int, high: int) -> Colour:
    grey = rng.integers(low, high)
    red, green, blue = np.clip(grey + rng.integers(-14, 15, size=3), 0, 255)
    return int(red), int(green), int(blue)


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (round(factor * part) for part in colour)
    return red, green, blue
