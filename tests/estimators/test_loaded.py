"""Estimators that somebody altered before they were saved anew are refused as they are loaded."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.frozen import FrozenEstimator

import tabimg
from tabimg.headers import NgramEncoder, SentenceEncoder
from tabimg.nn import EfficientNetLite, ResNet
from tabimg.serialization import SerializationError, write_directory
from tabimg.training.architectures import ImageArchitecture
from tabimg.training.boosting import BoostedModel
from tabimg.training.forest import ForestModel
from tabimg.training.imputation import PhotoImputer
from tabimg.training.linear import LinearModel
from tabimg.training.networks import NetworkModel

N_ROWS = 24
RUN: dict[str, Any] = {"max_epochs": 1, "batch_size": 8, "random_state": 0}
MT: dict[str, Any] = {"tabular_encoder": "mlp", "embedding_dim": 4, **RUN}
CI: dict[str, Any] = {"dim": 8, "n_heads": 2, "n_layers": 1, "n_experts": 2, **RUN}
HUGE_EFFICIENTNET = functools.partial(EfficientNetLite, width=8000.0, depth=8000.0)
HUGE_RESNET = functools.partial(ResNet, layers=(10**9, 1, 1, 1), width=1)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"age": rng.normal(size=N_ROWS), "colour": rng.choice(["red", "blue"], N_ROWS)}
    )
    frame.loc[3, "age"] = np.nan
    return frame


@pytest.fixture(scope="module")
def classifier(table: pd.DataFrame) -> Any:
    source = tabimg.MultiModalPretrainer(**MT)
    return tabimg.MTCMTMClassifier(source, **RUN).fit(table, np.arange(N_ROWS) % 2)


@pytest.fixture(scope="module")
def citab(table: pd.DataFrame) -> Any:
    target = np.column_stack([np.arange(N_ROWS), -np.arange(N_ROWS)]).astype(float)
    return tabimg.CITabRegressor(tabimg.CITabPretrainer(**CI), finetune="full", **RUN).fit(
        table, target
    )


def member(estimator: Any, kind: type) -> Any:
    return next(m.model for m in estimator.members_ if isinstance(m.model, kind))


def put(holder: Any, **values: Any) -> None:
    for name, value in values.items():
        object.__setattr__(holder, name, value)


def architecture_of(network: Any, **values: Any) -> None:
    """Change numbers of the table's architecture, and of nothing else."""
    put(
        network,
        architecture=replace(
            network.architecture, table=replace(network.architecture.table, **values)
        ),
    )


def forest(**changes: Any) -> Callable[[Any], None]:
    def alter(estimator: Any) -> None:
        found = member(estimator, ForestModel)
        for name, (place, value) in changes.items():
            getattr(found, name)[place] = value

    return alter


def first_inner(estimator: Any) -> int:
    return int(np.flatnonzero(member(estimator, ForestModel).feature >= 0)[0])


def cycle(estimator: Any) -> None:
    found, node = member(estimator, ForestModel), first_inner(estimator)
    found.left[node] = found.right[node] = node


def shared_child(estimator: Any) -> None:
    found, node = member(estimator, ForestModel), first_inner(estimator)
    found.left[node] = found.right[node]


def chain(estimator: Any) -> None:
    """A tree of one long path, deeper than any that was fitted."""
    n = 100_001
    inner = np.arange(n) % 2 == 0
    inner[-1] = False
    left, right = np.full(n, -1), np.full(n, -1)
    left[inner], right[inner] = np.flatnonzero(inner) + 1, np.flatnonzero(inner) + 2
    put(
        member(estimator, ForestModel),
        roots=np.array([0]),
        feature=np.where(inner, 0, -1).astype(np.int32),
        threshold=np.zeros(n),
        left=left,
        right=right,
        values=np.zeros(0),
        indices=np.zeros(0, dtype=np.int32),
        pointers=np.zeros(n + 1, dtype=np.int32),
    )


def weights(estimator: Any, value: float) -> None:
    arrays = member(estimator, NetworkModel).module.arrays
    name = next(name for name in arrays if name.endswith("weight"))
    arrays[name].reshape(-1)[0] = value


def boosted(n_outputs: int = 2, **changes: Any) -> Callable[[Any], None]:
    def alter(estimator: Any) -> None:
        trees = replace(member(estimator, ForestModel), **changes)
        put(estimator.members_[0], model=BoostedModel(trees, np.zeros(n_outputs)))

    return alter


def imputer(n_features: int = 2, **changes: tuple[int, Any]) -> Callable[[Any], None]:
    def alter(estimator: Any) -> None:
        trees = copy.deepcopy(member(estimator, ForestModel))
        put(estimator, imputer_=PhotoImputer(trees, n_features))
        for name, (place, value) in changes.items():
            getattr(trees, name)[place] = value

    return alter


def unfitted_source(estimator: Any) -> None:
    del estimator.pretrainer_.network_


ALTERATIONS: dict[str, Callable[[Any], Any]] = {
    "feature beyond the columns": forest(feature=(0, 10**6)),
    "root beyond the nodes": forest(roots=(0, 10**6)),
    "root below the nodes": forest(roots=(0, -5)),
    "class beyond the classes": forest(indices=(0, 99)),
    "negative class": forest(indices=(0, -1)),
    "values out of order": forest(pointers=(1, 10**6)),
    "NaN threshold": forest(threshold=(0, np.nan)),
    "NaN leaf": forest(values=(0, np.nan)),
    "cyclic tree": cycle,
    "child of two nodes": shared_child,
    "endless tree": chain,
    "forest of another dtype": lambda e: put(
        member(e, ForestModel), feature=member(e, ForestModel).feature.astype(np.float64)
    ),
    "NaN weight of a network": lambda e: weights(e, np.nan),
    "infinite weight of a network": lambda e: weights(e, np.inf),
    "weight that overflows": lambda e: weights(e, 3e38),
    "scale of zero": lambda e: member(e, NetworkModel).module.arrays["scale"].fill(0.0),
    "weight of another shape": lambda e: member(e, NetworkModel).module.arrays.update(
        mean=np.zeros(3, dtype=np.float32)
    ),
    "weight that lacks": lambda e: member(e, NetworkModel).module.arrays.pop("mean"),
    "further weight": lambda e: member(e, NetworkModel).module.arrays.update(
        more=np.zeros(3, dtype=np.float32)
    ),
    "weight of text": lambda e: member(e, NetworkModel).module.arrays.update(
        mean=np.array(["a", "b"])
    ),
    "absurd width": lambda e: architecture_of(member(e, NetworkModel).module, embedding_dim=10**12),
    "absurd number": lambda e: architecture_of(
        member(e, NetworkModel).module, embedding_dim=10**90
    ),
    "width of another type": lambda e: architecture_of(
        member(e, NetworkModel).module, embedding_dim=4.0
    ),
    "absurd cardinality": lambda e: architecture_of(
        member(e, NetworkModel).module, cardinalities=(10**12,)
    ),
    "other cardinality": lambda e: architecture_of(e.pretrainer_.network_, cardinalities=(3,)),
    "unknown encoder": lambda e: architecture_of(e.pretrainer_.network_, encoder="resnet9000"),
    "own encoder of absurd depth": lambda e: architecture_of(
        e.pretrainer_.network_, encoder=HUGE_RESNET
    ),
    "own encoder of absurd width": lambda e: architecture_of(
        e.pretrainer_.network_, encoder=HUGE_EFFICIENTNET
    ),
    "photos of absurd size": lambda e: put(
        e.pretrainer_.network_,
        architecture=replace(
            e.pretrainer_.network_.architecture, image=ImageArchitecture("resnet18", 10**6)
        ),
    ),
    "linear model without a scale": lambda e: member(e, LinearModel).scale.fill(0.0),
    "linear model of NaN": lambda e: member(e, LinearModel).weight.fill(np.nan),
    "linear model of unknown views": lambda e: put(member(e, LinearModel), names=("target",)),
    "linear model of photos": lambda e: put(member(e, LinearModel), names=("photos",)),
    "linear model of two columns fewer": lambda e: put(
        member(e, LinearModel), weight=member(e, LinearModel).weight[:, :-2]
    ),
    "boosted trees of three outputs": boosted(n_outputs=3),
    "boosted trees of no outputs": boosted(n_outputs=0),
    "boosted trees on photos": boosted(names=("photos",)),
    "boosted trees on unknown views": boosted(names=("target",)),
    "boosted trees without a tree": boosted(roots=np.zeros(0, dtype=np.int64)),
    "imputer that is text": lambda e: put(e, imputer_="text"),
    "imputer of no features": imputer(n_features=0),
    "imputer of fewer features than its trees": imputer(n_features=1),
    "imputer of absurdly many features": imputer(n_features=10**9),
    "imputer of columns that lack": imputer(feature=(0, 10**6)),
    "imputer of NaN": imputer(values=(0, np.nan)),
    "size of photos in words": lambda e: put(e.pretrainer_, image_size="large"),
    "absurd size of photos": lambda e: put(e.pretrainer_, image_size=10**6),
    "unknown training of the image encoder": lambda e: put(
        e.pretrainer_.network_,
        architecture=replace(
            e.pretrainer_.network_.architecture,
            image=ImageArchitecture("resnet18", 64, None, "magic"),
        ),
    ),
    "absurd grid of photos": lambda e: put(
        e.pretrainer_.network_,
        architecture=replace(
            e.pretrainer_.network_.architecture,
            image=ImageArchitecture("resnet18", 64, None, "locked", 10**6),
        ),
    ),
    "member of another class": lambda e: put(e.members_[0], model=e.codec_),
    "member of NaN weight": lambda e: put(e.members_[0], weight=float("nan")),
    "member of weight 2": lambda e: put(e.members_[0], weight=2.0),
    "no member": lambda e: put(e, members_=[]),
    "members that are none": lambda e: put(e, members_="network"),
    "codec that is text": lambda e: put(e, codec_="codec"),
    "codec of another table": lambda e: put(
        e, codec_=tabimg.table.TableCodec().fit([[1.0, "a"], [2.0, "b"]])
    ),
    "one class": lambda e: put(e, classes_=np.array([1])),
    "three classes": lambda e: put(e, classes_=np.array([1, 2, 3])),
    "equal classes": lambda e: put(e, classes_=np.array([1, 1])),
    "classes that are none": lambda e: put(e, classes_="ab"),
    "other number of columns": lambda e: put(e, n_features_in_=3),
    "other names of columns": lambda e: put(
        e, feature_names_in_=np.array(["a", "b"], dtype=object)
    ),
    "predict that is data": lambda e: put(e, predict="data"),
    "method that is data": lambda e: put(e, _blocks=None),
    "source of another class": lambda e: put(e, pretrainer_=FrozenEstimator(e.pretrainer_)),
    "source that is not fitted": unfitted_source,
    "source without a codec": lambda e: delattr(e.pretrainer_, "codec_"),
    "device of another type": lambda e: put(e, device=5),
    "columns that are no labels": lambda e: put(e, image_column=[[1]]),
    "absurd number of threads": lambda e: put(e.pretrainer_, n_jobs=10**9),
    "own code as a loader": lambda e: put(e.pretrainer_, image_loader=HUGE_RESNET),
    "attribute that lacks": lambda e: delattr(e, "_sees_embedding"),
    "unknown modality": lambda e: put(e, predict_modality="smell"),
    "photo members of no photo": lambda e: put(e, photo_members_=dict(image=[], both=e.members_)),
    "photo members that are none": lambda e: put(e, photo_members_="both"),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_altered_classifier_is_refused_as_it_is_loaded(
    classifier: Any, tmp_path: Path, name: str
) -> None:
    altered = copy.deepcopy(classifier)
    ALTERATIONS[name](altered)
    write_directory(tmp_path / "saved", altered)
    with pytest.raises(SerializationError):
        tabimg.load(tmp_path / "saved")


CITAB_ALTERATIONS: dict[str, Callable[[Any], Any]] = {
    "absurd number of experts": lambda e: architecture_of(e.pretrainer_.network_, n_experts=10**9),
    "absurd number of layers": lambda e: architecture_of(e.pretrainer_.network_, n_layers=5000),
    "absurd expansion": lambda e: architecture_of(e.pretrainer_.network_, expansion=1e300),
    "more heads": lambda e: architecture_of(e.pretrainer_.network_, n_heads=3),
    "text of another width": lambda e: architecture_of(e.pretrainer_.network_, text_dim=7),
    "unknown form of values": lambda e: architecture_of(e.pretrainer_.network_, value_form="none"),
    "header encoder that is own code": lambda e: put(e.vectors_, encoder=HUGE_RESNET),
    "header encoder that is text": lambda e: put(e.vectors_, encoder="ngrams"),
    "header encoder of absurd width": lambda e: put(e.vectors_, encoder=NgramEncoder(10**9)),
    "header encoder of another width": lambda e: put(e.vectors_, encoder=NgramEncoder(8)),
    "header encoder of a folder": lambda e: put(
        e.vectors_, encoder=SentenceEncoder(Path("anywhere"))
    ),
    "unknown headers of a sentence model": lambda e: put(
        e, vectors_=tabimg.headers.TextVectors(SentenceEncoder("a-model"))
    ),
    "vectors of NaN": lambda e: e.vectors_.vectors.fill(np.nan),
    "cohorts without a codec": lambda e: put(e.pretrainer_.codec_, codecs=()),
    "cohort of another class": lambda e: put(e.pretrainer_.codec_, codecs=("x",)),
    "unknown modality": lambda e: put(e, predict_modality="smell"),
    "photo members of nobody": lambda e: put(e, photo_members_={"image": e.members_}),
    "unknown loss": lambda e: put(e, loss="l7"),
    "target of scale 0": lambda e: e._target_scale.fill(0.0),
    "target that overflows": lambda e: e._target_scale.fill(1e305),
    "target of three outputs": lambda e: put(e, _target_mean=np.zeros(3), _target_scale=np.ones(3)),
    "target of one dimension": lambda e: put(e, _target_is_2d=False),
    "descriptions that are none": lambda e: put(e, column_descriptions="text"),
}


@pytest.mark.parametrize("name", CITAB_ALTERATIONS)
def test_altered_citab_regressor_is_refused_as_it_is_loaded(
    citab: Any, tmp_path: Path, name: str
) -> None:
    altered = copy.deepcopy(citab)
    CITAB_ALTERATIONS[name](altered)
    write_directory(tmp_path / "saved", altered)
    with pytest.raises(SerializationError):
        tabimg.load(tmp_path / "saved")


@pytest.mark.parametrize("name", ["classifier", "citab"])
def test_sound_estimator_is_loaded_without_a_warning_and_predicts_bit_equally(
    request: pytest.FixtureRequest, table: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    estimator = request.getfixturevalue(name)
    tabimg.save(estimator, tmp_path / "saved")
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = tabimg.load(tmp_path / "saved")
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(back.predict(table), estimator.predict(table))


def test_folder_to_write_photos_to_is_not_taken_from_a_file(
    classifier: Any, tmp_path: Path
) -> None:
    altered = copy.deepcopy(classifier)
    put(altered.pretrainer_, cache_dir=str(tmp_path / "elsewhere"))
    write_directory(tmp_path / "saved", altered)
    assert tabimg.load(tmp_path / "saved").pretrainer_.cache_dir is None


def test_parameter_that_is_younger_than_the_save_gets_its_default(
    classifier: Any, table: pd.DataFrame, tmp_path: Path
) -> None:
    old = copy.deepcopy(classifier)
    del old.time_limit, old.pretrainer_.compile
    write_directory(tmp_path / "saved", old)
    back = tabimg.load(tmp_path / "saved")
    assert back.time_limit is None
    assert back.pretrainer_.compile is False
    np.testing.assert_array_equal(back.predict_proba(table), classifier.predict_proba(table))


@pytest.mark.parametrize("value", ["text", {"a": 1}, FrozenEstimator(5), None], ids=repr)
def test_what_is_no_estimator_is_refused(tmp_path: Path, value: Any) -> None:
    write_directory(tmp_path / "saved", value)
    with pytest.raises(SerializationError):
        tabimg.load(tmp_path / "saved")


def test_estimator_that_was_never_fitted_is_refused(tmp_path: Path) -> None:
    write_directory(tmp_path / "saved", tabimg.MTCMTMClassifier())
    with pytest.raises(SerializationError, match="no fitted estimator"):
        tabimg.load(tmp_path / "saved")
