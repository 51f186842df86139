"""A pre-trained image encoder of another library, and what its library has to know.

Nobody needs these libraries who does not name a model of theirs. Only a fit that starts anew asks
them for weights; a fitted network is built from what is kept here, without any download.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn

from tabimg.messages import import_hint, shorten
from tabimg.nn.isolation import isolated
from tabimg.nn.library_encoder import LibraryEncoder, See
from tabimg.serialization import register
from tabimg.serialization.checks import check_items, check_type, check_whole
from tabimg.training.loaded_modules import check_architecture

# Of a model's photos, in pixels.
MAX_SIZE = 1024


@dataclass(frozen=True)
class LibraryModel:
    """A model of another library, and what has to be known to use it.

    Parameters
    ----------
    library : str
        A name in ``LIBRARIES``.
    name : str
        The model's, as the library knows it.
    image_size : int
        Height and width that the model was made for, in pixels.
    mean, std : tuple of 3 float
        Its normalisation of RGB values in [0, 1].
    config : str
        Its configuration in JSON, if the library does not know it by the name.
    """

    pretrained: ClassVar[bool] = True

    library: str
    name: str
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    config: str = ""

    @property
    def spec(self) -> str:
        """The parameter ``image_encoder`` that names this model."""
        return f"{self.library}/{self.name}"

    def require(self) -> None:
        """Raise an ImportError unless the library is installed."""
        LIBRARIES[self.library].load(self.name)

    def build(self) -> LibraryEncoder:
        """Build the model without its weights."""
        library = LIBRARIES[self.library]
        model = library.build(self)
        size, see = self.image_size, library.see(self)
        return LibraryEncoder(model, see, size, self.mean, self.std, identity=repr(self))

    def load_weights(self, encoder: nn.Module) -> None:
        """Load the library's weights into what `build` has made."""
        with isolated(0):
            weights = LIBRARIES[self.library].weights(self)
        assert isinstance(encoder, LibraryEncoder)
        encoder.model.load_state_dict(dict(weights))


class ImageLibrary(Protocol):
    """A library of pre-trained models; imported as it is used."""

    form: str
    """How a model is named, for messages."""

    def knows(self, name: str) -> bool:
        """Tell whether a name has the form of a model's."""

    def load(self, name: str) -> Any:
        """Import the library for the model of a name; an ImportError says what to install."""

    def describe(self, name: str) -> LibraryModel:
        """Find out about a model, without its weights; ValueError if there is no such model."""

    def check_config(self, model: LibraryModel) -> None:
        """Raise a ValueError for a configuration that `describe` does not return."""

    def build(self, model: LibraryModel) -> nn.Module:
        """Build a model without weights, and without a download."""

    def weights(self, model: LibraryModel) -> Mapping[str, Tensor]:
        """Read a model's weights from the library's cache; the library may download them first."""

    def see(self, model: LibraryModel) -> See:
        """Return how the model embeds photos."""


# Filled where the libraries are defined.
LIBRARIES: dict[str, ImageLibrary] = {}


def imported(module: str, package: str, encoder: str) -> Any:
    """Import a library, or say which ``image_encoder`` needs it, and how to install it."""
    need = f"image_encoder={shorten(encoder)} needs the package {package}"
    with import_hint(need, package):
        return import_module(module)


def side(size: Any, name: str) -> int:
    """Read height and width, which must be equal."""
    sides = list(size.values()) if isinstance(size, Mapping) else size
    sides = [sides] if isinstance(sides, int) else list(sides or [])
    if len(set(sides)) != 1:
        raise ValueError(f"the model {name!r} wants photos that are not squares of a known size")
    return int(sides[0])


def triple(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def no_config(model: LibraryModel) -> None:
    """Refuse a configuration of a model that is known by its name."""
    if model.config:
        raise ValueError(f"a model of {model.library} has no configuration of its own")


def check_model(model: LibraryModel) -> None:
    """Refuse what `describe` does not return."""
    check_architecture(model)
    for text in (model.library, model.name, model.config):
        check_type("a text about a model", text, str)
    if model.library not in LIBRARIES or not LIBRARIES[model.library].knows(model.name):
        raise ValueError(f"no library has a model {shorten(model.spec)}")
    check_whole("image_size", model.image_size, 1, MAX_SIZE)
    for values in (model.mean, model.std):
        check_items("a normalisation", values, tuple, float)
        if len(values) != 3 or not all(map(math.isfinite, values)):
            raise ValueError("a normalisation must hold three numbers")
    if min(model.std) <= 0:
        raise ValueError("a standard deviation must be positive")
    LIBRARIES[model.library].check_config(model)


register(LibraryModel, check=check_model)
