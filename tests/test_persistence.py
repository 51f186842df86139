"""Saved, pickled and copied estimators predict bit-equally, here and in another process."""

from __future__ import annotations

import copy
import functools
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge

import tabimg
from tabimg import MTCMTMClassifier, MTCMTMRegressor, MultiModalPretrainer
from tabimg.nn import EfficientNetLite
from tabimg.serialization import SerializationError, qualified_name
from tabimg.training.tasks import Regression

N_ROWS = 30
SMALL = {"max_epochs": 1, "batch_size": 8, "random_state": 0}


class TinyImageEncoder(torch.nn.Module):
    def __init__(self, width: int = 6) -> None:
        super().__init__()
        self.pool = torch.nn.AdaptiveAvgPool2d(2)
        self.out = torch.nn.Linear(12, width)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.out(self.pool(pixels).flatten(1))


def table_encoder() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.LazyLinear(12), torch.nn.ReLU(), torch.nn.LazyLinear(5))


def load_photo(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


CUSTOM = {qualified_name(f): f for f in (TinyImageEncoder, table_encoder, load_photo)}


def make_pretrainer(**changes: Any) -> MultiModalPretrainer:
    params = {
        "image_column": "photo",
        "image_size": 32,
        "image_encoder": TinyImageEncoder,
        "tabular_encoder": "mlp",
        "embedding_dim": 8,
        "projection_dim": 4,
        **SMALL,
    }
    return MultiModalPretrainer(**{**params, **changes})


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "width": rng.normal(5.0, 2.0, N_ROWS),
            "doors": rng.integers(2, 6, N_ROWS),
            "colour": rng.choice(["red", "grün"], N_ROWS),
            "seen": pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(N_ROWS), "D"),
        }
    )
    frame.loc[[1, 5], "width"] = np.nan
    frame.loc[7, "colour"] = None
    return frame


@pytest.fixture(scope="module")
def frame(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table with a column of photos."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    paths = [str(folder / f"{row}.png") for row in range(N_ROWS)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (36, 36, 3), dtype=np.uint8)).save(path)
    return table.assign(photo=paths)


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    return np.array(["low", "mid", "high"])[np.arange(N_ROWS) % 3]


@pytest.fixture(scope="module")
def numbers(table: pd.DataFrame) -> np.ndarray:
    return 1000.0 + table["doors"].to_numpy() * 10.0


@pytest.fixture(scope="module")
def pretrainer(frame: pd.DataFrame) -> MultiModalPretrainer:
    return make_pretrainer().fit(frame)


@pytest.fixture(scope="module")
def classifier(frame: pd.DataFrame, labels: np.ndarray) -> MTCMTMClassifier:
    estimator = MTCMTMClassifier(make_pretrainer(), finetune="full", n_members=2, **SMALL)
    return estimator.fit(frame, labels)


@pytest.fixture(scope="module")
def regressor(table: pd.DataFrame, numbers: np.ndarray) -> MTCMTMRegressor:
    return MTCMTMRegressor(tabular_encoder="mlp", embedding_dim=8, **SMALL).fit(table, numbers)


@pytest.fixture(params=["pretrainer", "classifier", "regressor"])
def fitted(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def output(estimator: Any, table: pd.DataFrame) -> np.ndarray:
    for method in ("transform", "predict_proba", "predict"):
        if hasattr(estimator, method):
            return getattr(estimator, method)(table)
    raise AssertionError("nothing to call")


def through_directory(estimator: Any, folder: Path) -> Any:
    tabimg.save(estimator, folder / "saved")
    return tabimg.load(folder / "saved", CUSTOM)


def through_pickle(estimator: Any, folder: Path) -> Any:
    return pickle.loads(pickle.dumps(estimator))


def through_joblib(estimator: Any, folder: Path) -> Any:
    joblib.dump(estimator, folder / "saved.joblib")
    return joblib.load(folder / "saved.joblib")


def through_deepcopy(estimator: Any, folder: Path) -> Any:
    return copy.deepcopy(estimator)


WAYS = [through_directory, through_pickle, through_joblib, through_deepcopy]


@pytest.mark.parametrize("way", WAYS)
def test_estimator_comes_back_predicting_bit_equally(
    fitted: Any, table: pd.DataFrame, tmp_path: Path, way: Callable[..., Any]
) -> None:
    expected = output(fitted, table)
    back = way(fitted, tmp_path)
    assert type(back) is type(fitted)
    assert np.array_equal(output(back, table), expected)
    assert np.array_equal(output(fitted, table), expected)
    assert back.history_ == fitted.history_
    assert list(back.feature_names_in_) == list(table.columns)
    assert back.n_features_in_ == 4


@pytest.mark.parametrize("way", WAYS)
def test_parameters_come_back_as_they_were(
    fitted: Any, tmp_path: Path, way: Callable[..., Any]
) -> None:
    back = way(fitted, tmp_path)
    before, after = fitted.get_params(), back.get_params()
    assert before.keys() == after.keys()
    for name, value in before.items():
        if not hasattr(value, "get_params"):
            assert after[name] == value, name


def test_image_encoder_comes_back(
    pretrainer: MultiModalPretrainer, frame: pd.DataFrame, tmp_path: Path
) -> None:
    back = through_directory(pretrainer, tmp_path)
    assert np.array_equal(back.transform_images(frame), pretrainer.transform_images(frame))


def test_loaded_estimator_refits_to_the_same_as_the_original(
    classifier: MTCMTMClassifier, frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    back = clone(through_directory(classifier, tmp_path))
    assert not hasattr(back, "members_")
    expected = classifier.predict_proba(frame)
    assert np.array_equal(back.fit(frame, labels).predict_proba(frame), expected)


def test_clone_of_a_fitted_estimator_keeps_its_parameters_only(fitted: Any) -> None:
    twin = clone(fitted)
    assert [name for name in vars(twin) if name.endswith("_")] == []


def test_frozen_pretrainer_comes_back_without_a_warning(
    pretrainer: MultiModalPretrainer, table: pd.DataFrame, tmp_path: Path
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = through_directory(FrozenEstimator(pretrainer), tmp_path)
    assert isinstance(back, FrozenEstimator)
    assert np.array_equal(back.transform(table), pretrainer.transform(table))


def test_classifier_over_a_frozen_pretrainer_comes_back(
    pretrainer: MultiModalPretrainer, table: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    estimator = MTCMTMClassifier(FrozenEstimator(pretrainer), finetune="frozen", **SMALL)
    estimator.fit(table, labels)
    back = through_directory(estimator, tmp_path)
    assert np.array_equal(back.predict_proba(table), estimator.predict_proba(table))
    assert np.array_equal(back.classes_, estimator.classes_)


def test_another_process_predicts_bit_equally(
    frame: pd.DataFrame, table: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    """With a custom encoder from a module of the user's."""
    (tmp_path / "my_networks.py").write_text(
        "import torch\n"
        "def encoder():\n"
        "    return torch.nn.Sequential(torch.nn.LazyLinear(8), torch.nn.Tanh())\n"
    )
    script = (
        "import sys, numpy as np, pandas as pd, tabimg\n"
        "folder = sys.argv[1]\n"
        "sys.path.insert(0, folder)\n"
        "import my_networks\n"
        "custom = {'my_networks.encoder': my_networks.encoder}\n"
        "estimator = tabimg.load(folder + '/saved', custom)\n"
        "table = pd.read_pickle(folder + '/table.pkl')\n"
        "np.save(folder + '/got.npy', estimator.predict_proba(table))\n"
        "np.save(folder + '/embedded.npy', estimator.pretrainer_.transform(table))\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import my_networks
    finally:
        sys.path.remove(str(tmp_path))
    inner = make_pretrainer(
        image_encoder="resnet18",
        tabular_encoder=my_networks.encoder,
        keep_image_encoder=False,
        lambda_c=0.0,
    )
    estimator = MTCMTMClassifier(inner, finetune="full", **SMALL).fit(frame, labels)
    tabimg.save(estimator, tmp_path / "saved")
    table.to_pickle(tmp_path / "table.pkl")
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, timeout=120)
    assert np.array_equal(np.load(tmp_path / "got.npy"), estimator.predict_proba(table))
    embedded = estimator.pretrainer_.transform(table)
    assert np.array_equal(np.load(tmp_path / "embedded.npy"), embedded)


# --- custom code --------------------------------------------------------------------------------


def test_custom_code_must_be_handed_over_each_by_its_name(
    frame: pd.DataFrame, table: pd.DataFrame, tmp_path: Path
) -> None:
    used = (TinyImageEncoder, table_encoder, load_photo)
    estimator = make_pretrainer(tabular_encoder=table_encoder, image_loader=load_photo).fit(frame)
    tabimg.save(estimator, tmp_path / "saved")
    custom: dict[str, Any] = {}
    for _ in used:
        with pytest.raises(SerializationError, match="saved by name only") as caught:
            tabimg.load(tmp_path / "saved", custom)
        name = next(name for name in CUSTOM if f"uses '{name}'" in str(caught.value))
        assert name not in custom
        custom[name] = CUSTOM[name]
    back = tabimg.load(tmp_path / "saved", custom)
    assert back.image_loader is load_photo
    assert back.transform(table).shape == (N_ROWS, 5)
    assert np.array_equal(back.transform(table), estimator.transform(table))


def test_partial_as_encoder_inside_another_estimator_comes_back(
    frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    """The parameter and the fitted clone hold two copies of the partial."""
    inner = make_pretrainer(image_encoder=functools.partial(TinyImageEncoder, width=3))
    estimator = MTCMTMClassifier(inner, finetune="frozen", **SMALL).fit(frame, labels)
    back = through_directory(estimator, tmp_path)
    assert np.array_equal(back.predict_proba(frame), estimator.predict_proba(frame))
    assert back.pretrainer_.transform_images(frame).shape == (N_ROWS, 3)


@pytest.mark.parametrize(
    "encoder",
    ["efficientnet_lite0", functools.partial(EfficientNetLite, width=0.25, depth=0.5)],
    ids=["name", "partial"],
)
def test_efficientnet_comes_back_by_name_and_as_a_partial(
    frame: pd.DataFrame, tmp_path: Path, encoder: Any
) -> None:
    estimator = make_pretrainer(image_encoder=encoder).fit(frame)
    tabimg.save(estimator, tmp_path / "saved")
    back = tabimg.load(tmp_path / "saved")
    assert str(back.image_encoder) == str(encoder)
    assert np.array_equal(back.transform_images(frame), estimator.transform_images(frame))


# --- what else is kept --------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_set_output_survives_a_save(
    pretrainer: MultiModalPretrainer, table: pd.DataFrame, tmp_path: Path, way: Callable[..., Any]
) -> None:
    estimator = copy.deepcopy(pretrainer).set_output(transform="pandas")
    got, expected = way(estimator, tmp_path).transform(table), estimator.transform(table)
    pd.testing.assert_frame_equal(got, expected)


def test_metadata_requests_survive_a_save(
    frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        inner = make_pretrainer().set_fit_request(sample_weight=False, image_paths="photos")
        estimator = MTCMTMClassifier(inner, finetune="frozen", **SMALL)
        estimator.set_fit_request(sample_weight=True).set_score_request(sample_weight="weight")
        estimator.fit(frame, labels, sample_weight=np.ones(N_ROWS))
        back = through_directory(estimator, tmp_path)
        assert str(back.get_metadata_routing()) == str(estimator.get_metadata_routing())
        request = back.get_metadata_routing()._self_request
        assert request.fit.requests["sample_weight"] is True
        assert request.score.requests["sample_weight"] == "weight"
        assert back.pretrainer.get_metadata_routing().fit.requests["image_paths"] == "photos"


@pytest.mark.parametrize("make", [pd.Index, pd.Series, np.asarray], ids=lambda make: make.__name__)
def test_column_names_come_back_from_whatever_held_them(
    frame: pd.DataFrame, labels: np.ndarray, tmp_path: Path, make: Callable[..., Any]
) -> None:
    column = frame.columns[-1]
    vectors = frame.assign(**{column: pd.Series(list(np.eye(len(frame))), dtype=object)})
    pretrainer = MultiModalPretrainer(image_column=make([column]), **SMALL)
    model = MTCMTMClassifier(pretrainer, finetune="frozen", **SMALL).fit(vectors, labels)
    tabimg.save(model, tmp_path / "model")
    loaded = tabimg.load(tmp_path / "model")
    assert list(loaded.pretrainer.image_column) == [column]
    np.testing.assert_array_equal(loaded.predict_proba(vectors), model.predict_proba(vectors))


def test_random_state_object_survives(table: pd.DataFrame, tmp_path: Path) -> None:
    state = np.random.RandomState(3)
    estimator = MultiModalPretrainer(
        tabular_encoder="mlp", embedding_dim=4, max_epochs=1, random_state=state
    ).fit(table)
    back = through_directory(estimator, tmp_path)
    assert back.random_state.randint(1000) == estimator.random_state.randint(1000)


def test_regressor_of_two_outputs_and_loss_survives(
    table: pd.DataFrame, numbers: np.ndarray, tmp_path: Path
) -> None:
    estimator = MTCMTMRegressor(tabular_encoder="mlp", embedding_dim=4, loss="huber", **SMALL)
    estimator.fit(table, np.column_stack([numbers, -numbers]))
    back = through_directory(estimator, tmp_path)
    assert np.array_equal(back.predict(table), estimator.predict(table))
    assert back.predict(table).shape == (N_ROWS, 2)


def test_ridge_of_two_outputs_lies_in_memory_as_a_saved_one_does() -> None:
    """A product sums in another order where a matrix lies in another one, and rounds otherwise."""
    task = Regression(2, "mse")
    features = np.random.default_rng(0).normal(size=(N_ROWS, 3))
    weight, _ = task.linear_path(features, features[:, :2], np.ones(N_ROWS), 1)[0]
    assert weight.flags.c_contiguous


def test_saved_pretrainer_serves_as_directory(
    table: pd.DataFrame, labels: np.ndarray, tmp_path: Path
) -> None:
    estimator = MultiModalPretrainer(tabular_encoder="mlp", embedding_dim=4, **SMALL).fit(table)
    tabimg.save(estimator, tmp_path / "runs" / "cars")
    fits = [
        MTCMTMClassifier(source, finetune="full", **SMALL).fit(table, labels).predict_proba(table)
        for source in (str(tmp_path / "runs" / "cars"), FrozenEstimator(estimator))
    ]
    assert np.array_equal(*fits)


def test_save_without_image_encoder_is_small(frame: pd.DataFrame, tmp_path: Path) -> None:
    def size_of(**changes: Any) -> int:
        estimator = make_pretrainer(image_encoder="resnet18", **changes).fit(frame)
        folder = tmp_path / f"saved {len(list(tmp_path.iterdir()))}"
        tabimg.save(estimator, folder)
        return sum(path.stat().st_size for path in folder.iterdir())

    whole, small = size_of(), size_of(keep_image_encoder=False)
    assert whole > 4 * 11_000_000
    # The weights of the table encoder and a few kilobytes of parameters.
    estimator = make_pretrainer(image_encoder="resnet18", keep_image_encoder=False).fit(frame)
    weights = sum(array.nbytes for array in estimator.network_.arrays.values())
    assert small < weights + 50_000
    assert whole > 5 * small


def test_pickle_after_use_is_no_larger(fitted: Any, table: pd.DataFrame) -> None:
    fresh = pickle.loads(pickle.dumps(fitted))
    before = len(pickle.dumps(fresh))
    output(fresh, table)
    assert len(pickle.dumps(fresh)) == before
    assert joblib.hash(fresh) == joblib.hash(pickle.loads(pickle.dumps(fresh)))


# --- what is refused ------------------------------------------------------------------------------


def test_save_of_an_unfitted_estimator_is_error(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        tabimg.save(MTCMTMClassifier(), tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("foreign", [Ridge(), FrozenEstimator(Ridge()), "text"], ids=repr)
def test_save_of_another_class_is_error(foreign: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="save\\(\\) takes a fitted estimator of tabimg"):
        tabimg.save(foreign, tmp_path / "saved")


def test_save_into_a_directory_with_other_files_is_refused(
    regressor: MTCMTMRegressor, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"thesis\.txt"):
        tabimg.save(regressor, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_load_of_no_save_is_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="not a saved tabimg estimator"):
        tabimg.load(tmp_path)
