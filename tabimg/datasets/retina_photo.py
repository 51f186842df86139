"""Photos of retinas, drawn from the state of their vessels, as a clinic's camera sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

CANVAS_SIDE = 256  # at least; the masks are drawn this large and then reduced
N_VESSELS = 8
MOST_SPOTS = 60
FUNDUS = np.array([0.80, 0.36, 0.17])
VESSEL = np.array([0.42, 0.07, 0.06])
DISC = np.array([0.95, 0.78, 0.50])
EXUDATE = np.array([0.97, 0.92, 0.55])


@dataclass(frozen=True)
class Camera:
    """What a clinic's photos have in common: colour gains, and the diameter of the field."""

    gains: tuple[float, float, float]
    field: float


def draw_retina(
    latent: np.ndarray, camera: Camera, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw the retina of one eye.

    The calibre of the vessels falls with narrowing, the number of yellow spots grows with leakage.
    Positions of disc, vessels and spots, light and grain are random: they do not depend on the
    latent.

    Parameters
    ----------
    latent : array of shape (2,)
        Narrowing and leakage, both standardised.
    camera : Camera
        The clinic's colours and field of view.
    size : int
        Side in pixels.
    rng : numpy.random.Generator
        Stream of this photo.

    Returns
    -------
    array of shape (size, size, 3), uint8
    """
    # tanh keeps extreme eyes drawable; it is monotone, so they still look different.
    narrowing, leakage = 3 * np.tanh(np.asarray(latent) / 3)
    disc = np.array([rng.choice([0.27, 0.73]), 0.5]) + rng.uniform(-0.02, 0.02, size=2)
    calibre = 0.026 * np.exp(-0.33 * narrowing)
    n_spots = round(MOST_SPOTS / (1 + np.exp(0.8 - 1.1 * leakage)))
    vessels = [_vessel(disc, angle, rng) for angle in _fan(rng)]
    tint, light = rng.uniform(0.9, 1.1, size=3), rng.uniform(0.85, 1.1)
    spots = _scatter(n_spots, rng)

    axis = (np.arange(size) + 0.5) / size - 0.5
    radius = np.hypot(axis[:, None], axis[None, :])[..., None]
    scene = FUNDUS * tint * (1.1 - 1.3 * radius**2)
    scene = _cover(scene, _discs(disc[None], 0.085, size), DISC)
    scene = _cover(scene, 0.85 * _tubes(vessels, calibre, size, rng), VESSEL)
    scene = _cover(scene, 0.9 * _discs(spots, 0.019, size), EXUDATE)
    inside = np.clip((camera.field / 2 - radius) * size + 0.5, 0, 1)
    seen = scene * camera.gains * light
    grain = 0.015 * rng.standard_normal((size, size, 1))
    return np.round(255 * np.clip(inside * seen + grain, 0, 1)).astype(np.uint8)


def _fan(rng: np.random.Generator) -> np.ndarray:
    """Directions in which the vessels leave the disc: evenly spread, with a little jitter."""
    turn = 2 * np.pi / N_VESSELS
    return turn * (np.arange(N_VESSELS) + rng.uniform(-0.25, 0.25, size=N_VESSELS) + rng.random())


def _vessel(start: np.ndarray, angle: float, rng: np.random.Generator) -> np.ndarray:
    """Points (24, 2) along one vessel, which winds on its way outwards."""
    bends = np.cumsum(0.16 * rng.standard_normal(24))
    steps = 0.032 * np.column_stack([np.cos(angle + bends), np.sin(angle + bends)])
    return start + np.cumsum(steps, axis=0)


def _scatter(n: int, rng: np.random.Generator) -> np.ndarray:
    """Positions (n, 2), uniform in the middle of the field."""
    radius, angle = 0.36 * np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n)
    return 0.5 + np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])


def _discs(centres: np.ndarray, radius: float, size: int) -> np.ndarray:
    """Share of each pixel that lies in one of the discs, float64 (size, size, 1)."""
    canvas, draw, fold = _open_canvas(size)
    for x, y in canvas.width * centres:
        reach = canvas.width * radius
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
    return _coverage(canvas, fold)


def _tubes(
    paths: list[np.ndarray], width: float, size: int, rng: np.random.Generator
) -> np.ndarray:
    """Share of each pixel that lies in one of the tubes, float64 (size, size, 1)."""
    canvas, draw, fold = _open_canvas(size)
    for path in paths:
        # Pillow draws integer widths: rounded at random they have the wanted mean.
        whole = max(1, int(canvas.width * width + rng.random()))
        points = [(float(x), float(y)) for x, y in canvas.width * path]
        draw.line(points, fill=255, width=whole, joint="curve")
    return _coverage(canvas, fold)


def _open_canvas(size: int) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    fold = max(4, -(-CANVAS_SIDE // size))
    canvas = Image.new("L", (size * fold, size * fold))
    return canvas, ImageDraw.Draw(canvas), fold


def _coverage(canvas: Image.Image, fold: int) -> np.ndarray:
    return np.asarray(canvas.reduce(fold), dtype=np.float64)[..., None] / 255


def _cover(scene: np.ndarray, alpha: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return (1 - alpha) * scene + alpha * colour
