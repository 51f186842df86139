"""The libraries of pre-trained image encoders: timm, OpenCLIP and transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from tabimg.nn.library_encoder import See, token_map
from tabimg.training.hugging_face import HuggingFace
from tabimg.training.library_models import (
    LIBRARIES,
    ImageLibrary,
    LibraryModel,
    imported,
    no_config,
    side,
    triple,
)


class Timm:
    """Models of timm, whose names it knows with their weights."""

    form = "timm/NAME"

    def knows(self, name: str) -> bool:
        return re.fullmatch(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*", name) is not None

    def load(self, name: str) -> Any:
        return imported("timm", "timm", f"timm/{name}")

    def describe(self, name: str) -> LibraryModel:
        self.load(name)
        found = import_module("timm.models").get_pretrained_cfg(name)
        if found is None or not found.has_weights:
            raise ValueError(f"timm has no pre-trained model {name!r}: see timm.list_pretrained()")
        size = side(found.input_size[1:], name)
        return LibraryModel("timm", name, size, triple(found.mean), triple(found.std))

    def check_config(self, model: LibraryModel) -> None:
        no_config(model)

    def build(self, model: LibraryModel) -> nn.Module:
        return self.load(model.name).create_model(model.name, pretrained=False, num_classes=0)

    def weights(self, model: LibraryModel) -> Mapping[str, Tensor]:
        trained = self.load(model.name).create_model(model.name, pretrained=True, num_classes=0)
        return trained.state_dict()

    def see(self, model: LibraryModel) -> See:
        return _see_timm


def _see_timm(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    features = model.forward_features(pixels)
    embedding = model.forward_head(features, pre_logits=True)
    if features.ndim == 3:
        return embedding, token_map(features)
    # Some give channels last.
    is_last = features.ndim == 4 and features.shape[1] != model.num_features
    positions = features.permute(0, 3, 1, 2) if is_last else features
    return embedding, positions if positions.ndim == 4 else None


class OpenClip:
    """The image encoders of OpenCLIP's models."""

    form = "open_clip/MODEL:PRETRAINED"

    def knows(self, name: str) -> bool:
        return re.fullmatch(r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+", name) is not None

    def load(self, name: str) -> Any:
        return imported("open_clip", "open_clip_torch", f"open_clip/{name}")

    def describe(self, name: str) -> LibraryModel:
        open_clip = self.load(name)
        model, _, tag = name.partition(":")
        config, found = open_clip.get_model_config(model), open_clip.get_pretrained_cfg(model, tag)
        if config is None or not found:
            raise ValueError(
                f"OpenCLIP has no pre-trained model {name!r}: see open_clip.list_pretrained()"
            )
        if found.get("quick_gelu", False) and not config.get("quick_gelu", False):
            raise ValueError(
                f"the weights {tag!r} belong to another activation than {model} has: take "
                f"image_encoder='open_clip/{model}-quickgelu:{tag}'"
            )
        mean = found.get("mean", open_clip.OPENAI_DATASET_MEAN)
        std = found.get("std", open_clip.OPENAI_DATASET_STD)
        size = side(config["vision_cfg"].get("image_size", 224), name)
        return LibraryModel("open_clip", name, size, triple(mean), triple(std))

    def check_config(self, model: LibraryModel) -> None:
        no_config(model)

    def build(self, model: LibraryModel) -> nn.Module:
        name = model.name.partition(":")[0]
        # The encoder of texts is thrown away: the smallest will do.
        text = {"context_length": 8, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
        return (
            self.load(model.name)
            .create_model(
                name, pretrained=None, load_weights=False, pretrained_text=False, text_cfg=text
            )
            .visual
        )

    def weights(self, model: LibraryModel) -> Mapping[str, Tensor]:
        name, _, tag = model.name.partition(":")
        return self.load(model.name).create_model(name, pretrained=tag).visual.state_dict()

    def see(self, model: LibraryModel) -> See:
        return _see_open_clip


def _see_open_clip(model: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    output = model(pixels)
    # Models that write captions give tokens too, for their decoder.
    return output[0] if isinstance(output, tuple) else output, None


LIBRARIES.update(timm=Timm(), hf=HuggingFace(), open_clip=OpenClip())


def library_of(encoder: object) -> tuple[ImageLibrary, str] | None:
    """Find the library that an encoder's name begins with, and the rest of the name."""
    prefix, _, name = encoder.partition("/") if isinstance(encoder, str) else ("", "", "")
    library = LIBRARIES.get(prefix)
    return (library, name) if library is not None and library.knows(name) else None
