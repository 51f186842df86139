"""Models of timm, transformers and OpenCLIP as image encoders; stand-ins take the libraries' place.

The stand-ins have the calls of timm 1.0, transformers 5.24 and OpenCLIP 3.3 that are used.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import tabimg
from tabimg.serialization import SerializationError
from tabimg.training.architectures import ImageArchitecture
from tabimg.training.fitted_module import FittedModule
from tabimg.training.image_encoders import described
from tabimg.training.library_models import LibraryModel, check_model
from tabimg.training.loaded_modules import check_fitted

pytestmark = pytest.mark.usefixtures("few_folds", "libraries")

SIZE = 48
FILL = {"timm": 0.01, "transformers": 0.02, "open_clip": 0.03}
VIT = {"model_type": "vit", "image_size": SIZE, "patch_size": 16, "hidden_size": 6}
PHOTOS = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.25, 0.5], "size": {"height": SIZE}}
DOWNLOADS: list[str] = []


class Patches(nn.Module):
    """Tokens of patches after a class token, as timm's and transformers' networks give them."""

    def __init__(self, width: int = 6, patch: int = 16) -> None:
        super().__init__()
        self.num_features = width
        self.patches = nn.Conv2d(3, width, patch, stride=patch)

    def filled(self, library: str, name: str) -> Patches:
        """Take the published weights."""
        DOWNLOADS.append(f"{library}: {name}")
        nn.init.constant_(self.patches.weight, FILL[library])
        return self

    def forward_features(self, pixels: Tensor) -> Tensor:
        assert pixels.shape[2:] == (SIZE, SIZE)
        tokens = self.patches(pixels).flatten(2).transpose(1, 2)
        return torch.cat([tokens.amax(dim=1, keepdim=True), tokens], dim=1)

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        assert pre_logits
        return features[:, 0]

    def forward(self, pixel_values: Tensor) -> Any:
        return SimpleNamespace(last_hidden_state=self.forward_features(pixel_values))


class Tower(Patches):
    """The encoder of photos of a CLIP model."""

    def forward(self, pixel_values: Tensor) -> Tensor:
        return self.forward_features(pixel_values)[:, 0, :4]


class Config:
    """A configuration of transformers."""

    def __init__(self, model_type: str, **settings: Any) -> None:
        self.__dict__.update({**VIT, "model_type": model_type, **settings})

    def to_json_string(self, use_diff: bool = True) -> str:
        assert not use_diff
        return json.dumps({**vars(self), "id2label": {"0": "cat"}, "_attn_implementation": "x"})


def fake_timm() -> dict[str, ModuleType]:
    def create_model(name: str, pretrained: bool = False, num_classes: int = 1000) -> nn.Module:
        assert num_classes == 0
        return Patches().filled("timm", name) if pretrained else Patches()

    def get_pretrained_cfg(name: str) -> Any:
        if name.partition(".")[0] != "tiny":
            return None
        size, half = (3, SIZE, SIZE), (0.5, 0.5, 0.5)
        return SimpleNamespace(input_size=size, mean=half, std=half, has_weights="." in name)

    return {
        "timm": module("timm", create_model=create_model),
        "timm.models": module("timm.models", get_pretrained_cfg=get_pretrained_cfg),
    }


def fake_transformers() -> dict[str, ModuleType]:
    def read(name: str, trust_remote_code: bool) -> Config:
        assert not trust_remote_code
        return Config(**json.loads((Path(name) / "config.json").read_text("utf-8")))

    def from_config(config: Config, trust_remote_code: bool) -> nn.Module:
        assert not trust_remote_code
        return Patches(config.hidden_size, config.patch_size)

    def from_pretrained(name: str, config: Config, **settings: bool) -> tuple[nn.Module, Any]:
        assert settings == {
            "trust_remote_code": False,
            "use_safetensors": True,
            "output_loading_info": True,
        }
        model = Patches(config.hidden_size, config.patch_size).filled("transformers", name)
        return model, {"missing_keys": {"pooler.dense.weight"}}

    processor = SimpleNamespace(get_image_processor_dict=lambda name: (PHOTOS, {}))
    return {
        "transformers": module(
            "transformers",
            AutoConfig=SimpleNamespace(from_pretrained=read, for_model=Config),
            AutoModel=SimpleNamespace(from_config=from_config, from_pretrained=from_pretrained),
            ImageProcessingMixin=processor,
        )
    }


def fake_open_clip() -> dict[str, ModuleType]:
    def create_model(name: str, pretrained: str | None = None, **settings: Any) -> Any:
        assert (pretrained is None) == (settings.get("load_weights") is False)
        tower = Tower() if pretrained is None else Tower().filled("open_clip", pretrained)
        return SimpleNamespace(visual=tower)

    def get_model_config(name: str) -> Any:
        return {"vision_cfg": {"image_size": SIZE}} if name == "Tiny" else None

    tags = {"laion": {"mean": (0.4, 0.4, 0.4)}, "openai": {"quick_gelu": True}}
    return {
        "open_clip": module(
            "open_clip",
            create_model=create_model,
            get_model_config=get_model_config,
            get_pretrained_cfg=lambda name, tag: tags.get(tag, {}),
            OPENAI_DATASET_MEAN=(0.5, 0.5, 0.5),
            OPENAI_DATASET_STD=(0.2, 0.2, 0.2),
        )
    }


def module(name: str, **contents: Any) -> ModuleType:
    made = ModuleType(name)
    vars(made).update(contents)
    return made


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the stand-ins."""
    DOWNLOADS.clear()
    for fake in (fake_timm, fake_transformers, fake_open_clip):
        for name, made in fake().items():
            monkeypatch.setitem(sys.modules, name, made)


@pytest.fixture
def uninstall(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Take all three libraries away."""

    def take_away() -> None:
        for name in FILL:
            monkeypatch.setitem(sys.modules, name, None)

    return take_away


@pytest.fixture(params=["timm", "hf", "open_clip"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a model of each library."""
    names = {"timm": "timm/tiny.web", "open_clip": "open_clip/Tiny:laion", "hf": ""}
    return names[request.param] or in_folder(tmp_path)


def in_folder(folder: Path, **changes: Any) -> str:
    """Write the configuration of a model of transformers, and name it."""
    (folder / "config.json").write_text(json.dumps({**VIT, **changes}), "utf-8")
    return f"hf/{folder}"


def model_weights(pretrainer: Any) -> np.ndarray:
    arrays = pretrainer.network_.arrays
    (name,) = [name for name in arrays if name.endswith("model.patches.weight")]
    return arrays[name]


# --- fits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["pretrainer", "citab"])
def test_model_by_name_is_locked_and_comes_back_without_its_library_weights(
    make: Any, frame: pd.DataFrame, encoder: str, method: str, tmp_path: Path
) -> None:
    pretrainer = getattr(make, method)(image_encoder=encoder, image_size="auto").fit(frame)
    image = pretrainer.network_.architecture.image
    assert (image.image_size, image.training) == (SIZE, "locked") and len(DOWNLOADS) == 1
    assert len(np.unique(model_weights(pretrainer))) == 1
    embedded = pretrainer.transform_images(frame)
    assert embedded.shape == (len(frame), 4 if "open_clip" in encoder else 6)
    DOWNLOADS.clear()
    tabimg.save(pretrainer, tmp_path / "saved")
    back = tabimg.load(tmp_path / "saved")
    assert np.array_equal(back.transform_images(frame), embedded)
    assert np.array_equal(back.transform(frame), pretrainer.transform(frame))
    back.set_params(warm_start=True).fit(frame)
    assert DOWNLOADS == []


def test_description_says_how_the_model_sees_photos(tmp_path: Path) -> None:
    half = (0.5, 0.5, 0.5)
    assert described("timm/tiny.web") == LibraryModel("timm", "tiny.web", SIZE, half, half)
    clip = described("open_clip/Tiny:laion")
    assert clip == LibraryModel("open_clip", "Tiny:laion", SIZE, (0.4,) * 3, (0.2,) * 3)
    found = described(in_folder(tmp_path))
    assert isinstance(found, LibraryModel)
    assert (found.image_size, found.std, json.loads(found.config)) == (SIZE, (0.5, 0.25, 0.5), VIT)


def test_all_of_a_model_can_be_trained(make: Any, frame: pd.DataFrame) -> None:
    pretrainer = make.pretrainer(image_encoder="timm/tiny.web", image_training="full", lr=0.1)
    assert len(np.unique(model_weights(pretrainer.fit(frame)))) > 1


def test_missing_library_is_named_before_a_photo_is_read(
    make: Any, frame: pd.DataFrame, photo_log: Any, uninstall: Callable[[], None]
) -> None:
    uninstall()
    pretrainer = make.pretrainer(image_encoder="timm/tiny.web", image_loader=photo_log.loader)
    with pytest.raises(
        ImportError, match=r"'timm/tiny.web' needs the package timm .*: pip install timm"
    ):
        pretrainer.fit(frame)
    assert photo_log.names() == []


@pytest.mark.parametrize("name", ["timm/tiny.web", "open_clip/Tiny:web", "hf/someone/model"])
def test_hint_to_install_a_library_quotes_the_name_that_was_given(
    uninstall: Callable[[], None], name: str
) -> None:
    uninstall()
    with pytest.raises(ImportError, match=f"^image_encoder='{name}' needs the package"):
        described(name)


def test_missing_library_is_named_when_an_image_encoder_is_loaded(
    make: Any, frame: pd.DataFrame, uninstall: Callable[[], None], tmp_path: Path
) -> None:
    tabimg.save(make.pretrainer(image_encoder="timm/tiny.web").fit(frame), tmp_path / "saved")
    uninstall()
    with pytest.raises(ImportError, match="pip install timm"):
        tabimg.load(tmp_path / "saved")


def test_prediction_from_the_table_needs_neither_library_nor_image_encoder(
    make: Any, frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    pretrainer = make.pretrainer(image_encoder="timm/tiny.web", keep_image_encoder=False)
    classifier = make.classifier(pretrainer=pretrainer).fit(frame, labels)
    expected = classifier.predict_proba(frame.drop(columns="photo"))
    tabimg.save(classifier, tmp_path / "saved")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "timm", None)
        back = tabimg.load(tmp_path / "saved")
        assert np.array_equal(back.predict_proba(frame.drop(columns="photo")), expected)


# --- names and settings that are refused ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("efficientnet-lite0", "efficientnet_lite0"),
        ("EfficientNet_Lite2", "efficientnet_lite2"),
        ("resnet-18", "resnet18"),
    ],
)
def test_misspelt_encoder_is_answered_with_the_name_meant(
    make: Any, frame: pd.DataFrame, name: str, meant: str
) -> None:
    with pytest.raises(ValueError, match=f"got '{name}': did you mean '{meant}'\\?$"):
        make.pretrainer(image_encoder=name).fit(frame)


@pytest.mark.parametrize("name", ["resnet19", "timm/", "timm/../x", "torch/x", "open_clip/Tiny", 5])
def test_value_that_names_no_encoder_is_answered_with_the_possibilities(
    make: Any, frame: pd.DataFrame, name: Any
) -> None:
    words = r"'efficientnet_lite2', 'resnet18'\], 'timm/NAME', 'hf/.*'open_clip/MODEL:PRETRAINED'"
    with pytest.raises(ValueError, match=words):
        make.pretrainer(image_encoder=name).fit(frame)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timm/huge", "timm has no pre-trained model 'huge'"),
        ("timm/tiny", "timm has no pre-trained model 'tiny'"),
        ("hf/no/such/folder", "names no folder and no model of the hub"),
        ("open_clip/Tiny:none", "OpenCLIP has no pre-trained model"),
        ("open_clip/Huge:laion", "OpenCLIP has no pre-trained model"),
        ("open_clip/Tiny:openai", "open_clip/Tiny-quickgelu:openai"),
    ],
)
def test_model_that_a_library_does_not_have_is_refused(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        described(name)


def test_model_of_an_unknown_kind_or_a_file_of_weights_is_refused(
    make: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="is of the kind 'bert'; known are beit, clip"):
        described(in_folder(tmp_path, model_type="bert"))
    pretrainer = make.pretrainer(image_encoder="timm/tiny.web", image_weights="mine.pth")
    with pytest.raises(ValueError, match="has its weights from its library"):
        pretrainer.fit(frame)


# --- files that others wrote ---------------------------------------------------------------------


GOOD = LibraryModel("timm", "tiny.web", SIZE, (0.5,) * 3, (0.5,) * 3)
HF = LibraryModel("hf", "a/model", SIZE, (0.5,) * 3, (0.5,) * 3, json.dumps(VIT))


def with_config(**changes: Any) -> LibraryModel:
    return replace(HF, config=json.dumps({**VIT, **changes}))


@pytest.mark.parametrize(
    "bad",
    [
        replace(GOOD, library="os"),
        replace(GOOD, name="hf-hub:org/model"),
        replace(GOOD, name="local-dir:/tmp/x"),
        replace(GOOD, image_size=10**6),
        replace(GOOD, image_size=True),
        replace(GOOD, mean=(0.5, float("nan"), 0.5)),
        replace(GOOD, std=(0.5, 0.0, 0.5)),
        replace(GOOD, std=(0.5,)),
        replace(GOOD, config="{}"),
        replace(HF, config=""),
        replace(HF, config="[]"),
        with_config(model_type="timm_wrapper"),
        with_config(auto_map={"AutoModel": "evil.Model"}),
        with_config(auto_map="evil.Model"),
        with_config(_attn_implementation="org/kernel"),
        with_config(backbone="org/model"),
        with_config(hidden_size=10**9),
        with_config(hidden_size=float("nan")),
        with_config(nested={"a": 1}),
        with_config(patch_size=0),
        with_config(patch_size=SIZE + 1),
        replace(with_config(patch_size=1), image_size=1024),
        replace(with_config(patch_size=[1, 1]), image_size=1024),
    ],
)
def test_description_that_no_fit_has_made_is_refused(bad: LibraryModel) -> None:
    check_model(GOOD)
    check_model(HF)
    with pytest.raises(ValueError):
        check_model(bad)


def test_network_larger_than_its_arrays_is_refused_before_it_takes_memory() -> None:
    architecture = ImageArchitecture(HF, SIZE)
    arrays = FittedModule.from_module(architecture, architecture.build()).arrays
    check_fitted(FittedModule(architecture, arrays))
    wide = ImageArchitecture(with_config(hidden_size=60_000), SIZE)
    with pytest.raises(ValueError, match="builds a larger network than its arrays fill"):
        check_fitted(FittedModule(wide, arrays))
    assert DOWNLOADS == []


def test_saved_name_of_an_unknown_encoder_is_refused_when_loading(
    make: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    pretrainer = make.pretrainer(image_encoder="timm/tiny.web").fit(frame)
    network = pretrainer.network_
    for encoder in (replace(GOOD, name="hf-hub:x"), "timm/tiny.web"):
        image = replace(network.architecture.image, encoder=encoder)
        network.architecture = replace(network.architecture, image=image)
        tabimg.save(pretrainer, tmp_path / "saved")
        with pytest.raises(SerializationError, match=r"no library has|unknown image encoder"):
            tabimg.load(tmp_path / "saved")
