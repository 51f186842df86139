"""Image encoders of transformers, which are built from a configuration of their own."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tabimg.messages import shorten
from tabimg.nn.library_encoder import See, token_map
from tabimg.serialization.checks import check_type, check_whole
from tabimg.training.library_models import LibraryModel, check_model, imported, side, triple

# Kinds of models that encode photos and nothing else, and where their embedding is: in the first
# token, in the mean of all positions, or in what the model itself pools with pre-trained weights.
_EMBEDDINGS = {
    "clip_vision_model": "pooled",
    "convnext": "pooled",
    "convnextv2": "pooled",
    "dinov3_convnext": "pooled",
    "mobilenet_v2": "pooled",
    "regnet": "pooled",
    "resnet": "pooled",
    "siglip_vision_model": "pooled",
    "deit": "first",
    "dinov2": "first",
    "dinov2_with_registers": "first",
    "dinov3_vit": "first",
    "vit": "first",
    "beit": "mean",
    "ijepa": "mean",
    "swin": "mean",
    "swinv2": "mean",
}
# Of a number in a configuration, and of the parts of a photo in a row.
_MAX_NUMBER = 65536
_MAX_PARTS = 128
# Of a configuration: what no network is built from, and what would have code or weights loaded.
_DROPPED = {
    "architectures",
    "attn_implementation",
    "auto_map",
    "dtype",
    "experts_implementation",
    "id2label",
    "label2id",
    "quantization_config",
    "torch_dtype",
    "transformers_version",
}


class HuggingFace:
    """Models of transformers: of the hub, of its cache, or of a folder."""

    form = "hf/NAME or hf/FOLDER"

    def knows(self, name: str) -> bool:
        return re.fullmatch(r"[\w./\\:~ @+-]{1,500}", name) is not None

    def load(self, name: str) -> Any:
        return imported("transformers", "transformers", f"hf/{name}")

    def describe(self, name: str) -> LibraryModel:
        if Path(name).is_dir():
            return _describe(name, self.load(name))
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) is None:
            raise ValueError(f"image_encoder='hf/{name}' names no folder and no model of the hub")
        return _describe_once(name, self.load(name))

    def check_config(self, model: LibraryModel) -> None:
        _check_config(json.loads(model.config), model)

    def build(self, model: LibraryModel) -> nn.Module:
        # On a device without memory first: a file may name any sizes, see `check_fitted`.
        with torch.device("meta"):
            self._build(model)
        return self._build(model)

    def _build(self, model: LibraryModel) -> nn.Module:
        config = self._config(model)
        return self.load(model.name).AutoModel.from_config(config, trust_remote_code=False)

    def _config(self, model: LibraryModel) -> Any:
        stored = json.loads(model.config)
        configs = self.load(model.name).AutoConfig
        known = _settings(configs.for_model(stored["model_type"]))
        return configs.for_model(**{k: v for k, v in stored.items() if k in known})

    def weights(self, model: LibraryModel) -> Mapping[str, Tensor]:
        trained, told = self.load(model.name).AutoModel.from_pretrained(
            model.name,
            config=self._config(model),
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
        # Of a pooler that is not used: its random weights do no harm.
        is_used = _EMBEDDINGS[_kind(model)] == "pooled"
        missing = [name for name in told["missing_keys"] if is_used or "pooler." not in name]
        if missing:
            raise ValueError(f"{model.spec!r} lacks weights: {shorten(sorted(missing))}")
        return trained.state_dict()

    def see(self, model: LibraryModel) -> See:
        return partial(_see_hugging_face, _EMBEDDINGS[_kind(model)])


def _describe(name: str, transformers: Any) -> LibraryModel:
    """Read what a folder, the cache or the hub says of a model."""
    whole = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    config = getattr(whole, "vision_config", whole)
    _check_kind(config.model_type, name)
    known = _settings(transformers.AutoConfig.for_model(config.model_type))
    kept = {key: value for key, value in _settings(config).items() if key in known}
    photos, _ = transformers.ImageProcessingMixin.get_image_processor_dict(name)
    if not {"image_mean", "image_std"} <= photos.keys():
        raise ValueError(f"'hf/{name}' does not say how photos are normalised")
    cropped = photos.get("crop_size") if photos.get("do_center_crop") else None
    size = cropped or photos.get("size") or kept.get("image_size")
    mean, std = triple(photos["image_mean"]), triple(photos["image_std"])
    model = LibraryModel("hf", name, side(size, name), mean, std, json.dumps(kept))
    check_model(model)
    return model


def _settings(config: Any) -> dict[str, Any]:
    """List what a network is built from."""
    said = json.loads(config.to_json_string(use_diff=False))
    return {k: v for k, v in said.items() if k not in _DROPPED and not k.startswith("_")}


# A process sees one version of a model of the hub.
_describe_once = lru_cache(_describe)


def _see_hugging_face(kind: str, model: nn.Module, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    output = model(pixel_values=pixels)
    features = output.last_hidden_state
    if features.ndim == 4:
        return output.pooler_output.flatten(1), features
    positions = token_map(features)
    if kind == "pooled":
        return output.pooler_output, positions
    return features[:, 0] if kind == "first" else positions.mean(dim=(2, 3)), positions


def _kind(model: LibraryModel) -> str:
    return json.loads(model.config)["model_type"]


def _check_kind(kind: object, name: str) -> None:
    if kind not in _EMBEDDINGS:
        raise ValueError(
            f"{shorten(name)} is of the kind {shorten(kind)}; known are "
            f"{', '.join(sorted(_EMBEDDINGS))}"
        )


def _check_config(config: Any, model: LibraryModel) -> None:
    """Refuse a configuration from which more than a plain encoder of photos could be built."""
    check_type("a configuration", config, dict)
    _check_kind(config.get("model_type"), model.name)
    for key, value in config.items():
        if key in _DROPPED or key.startswith("_") or "backbone" in key:
            raise ValueError(f"the configuration of {shorten(model.spec)} must not have {key[:40]}")
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, float) and not math.isfinite(item):
                raise ValueError(f"{key[:40]} is not finite")
            if isinstance(item, (dict, list)) or (
                isinstance(item, (int, float)) and abs(item) > _MAX_NUMBER
            ):
                raise ValueError(
                    f"the configuration of {shorten(model.spec)} has an odd {key[:40]}"
                )
    patches = config.get("patch_size", [])
    for patch in patches if isinstance(patches, list) else [patches]:
        check_whole("patch_size", patch, 1 + (model.image_size - 1) // _MAX_PARTS, model.image_size)
