"""Micrograph-like images of porous membranes, drawn from pore size and porosity."""

from __future__ import annotations

import numpy as np

COARSEST, FINEST = 2.5, 14.0  # pores across the image that the law below can ask for


def draw_micrograph(latent: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one membrane surface as an electron microscope shows it.

    A random field with one dominant wavelength is cut at the level that leaves the wanted share of
    the surface below it: those are the pores. Pore size sets the wavelength, porosity the share.
    Position, brightness, contrast, shading and grain are random and say nothing about the latent.

    Parameters
    ----------
    latent : array of shape (2,)
        Pore size and porosity, both standardised.
    size : int
        Side in pixels.
    rng : numpy.random.Generator
        Stream of this image.

    Returns
    -------
    array of shape (size, size), uint8
    """
    # tanh keeps extreme membranes drawable; it is monotone, so they still look different.
    pore_size, porosity = 3 * np.tanh(np.asarray(latent) / 3)
    pores_across = np.clip(6.0 * np.exp(-0.33 * pore_size), COARSEST, FINEST)
    share = 0.08 + 0.47 / (1 + np.exp(-1.1 * porosity))

    field = _banded_field(size, pores_across, rng)
    height = (field - np.quantile(field, share)) / field.std()
    solid = 1 / (1 + np.exp(-9 * height))
    rim = np.exp(-(((height - 0.28) / 0.16) ** 2))  # edges emit more electrons: they are bright
    surface = 0.12 + 0.5 * solid + 0.3 * rim + 0.06 * rng.standard_normal((size, size))
    return _expose(surface, rng)


def _banded_field(size: int, waves_across: float, rng: np.random.Generator) -> np.ndarray:
    """Periodic Gaussian field, float64 (size, size), with about ``waves_across`` waves per side."""
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(
        np.fft.fftfreq(size, 1 / size)[:, None], np.fft.rfftfreq(size, 1 / size)[None, :]
    )
    # A band relative to the wavelength: coarse and fine membranes differ in scale only.
    band = np.exp(-((np.log(np.maximum(frequency, 0.5) / waves_across) / 0.28) ** 2))
    return np.fft.irfft2(spectrum * band, s=(size, size))


def _expose(surface: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Apply random brightness, contrast and shading across the image; return uint8."""
    axis = np.linspace(-1, 1, len(surface))
    tilt = rng.uniform(-0.08, 0.08, size=2)
    shading = tilt[0] * axis[:, None] + tilt[1] * axis[None, :]
    exposed = rng.uniform(0.7, 1.1) * surface + rng.uniform(-0.05, 0.15) + shading
    return np.round(255 * np.clip(exposed, 0, 1)).astype(np.uint8)
