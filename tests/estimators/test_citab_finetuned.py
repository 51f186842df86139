"""Where the encoder of CITab's fine-tuning comes from, distillation, and going on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from PIL import Image
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_validate
from skorch.callbacks import Callback

import tabimg
from tabimg import CITabPretrainer, Unlabeled

Frames = dict[str, pd.DataFrame]

pytestmark = pytest.mark.usefixtures("few_folds")


def test_unfitted_pretrainer_inside_is_fitted_on_all_cohorts(
    with_vectors: pd.DataFrame, target: np.ndarray, make: Any, weights: Any
) -> None:
    pre = make.citab(cohort_column="clinic")
    whole = weights(clone(pre).fit(with_vectors))
    north, south = with_vectors[:24], with_vectors[24:]
    regressor = make.citab_regressor(pretrainer=pre, finetune="frozen")
    for unlabeled in (Unlabeled(south), Unlabeled({"south": south})):
        regressor.fit(north, target[:24], unlabeled=unlabeled)
        np.testing.assert_equal(weights(regressor.pretrainer_), whole)
        assert regressor.pretrainer_.codec_.names == ("north", "south")
        assert regressor.nearest_headers_ == {}
    assert not hasattr(pre, "network_")


def test_fitted_pretrainer_that_is_not_frozen_is_not_lost_silently(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.citab_regressor(pretrainer=citab_of_two, finetune="frozen")
    with pytest.warns(UserWarning, match="FrozenEstimator"):
        regressor.fit(with_vectors[:24], target[:24])
    with pytest.raises(ValueError, match="FrozenEstimator"):
        regressor.fit(with_vectors.drop(columns="photo"), target)


def test_directory_serves_as_a_frozen_pretrainer(
    table: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    pre = make.citab(image_column=None, image_encoder="resnet18").fit(table)
    tabimg.save(pre, tmp_path / "cohorts")
    saved = make.citab_regressor(pretrainer=str(tmp_path / "cohorts"), finetune="frozen")
    live = make.citab_regressor(pretrainer=FrozenEstimator(pre), finetune="frozen")
    np.testing.assert_array_equal(
        saved.fit(table, target).predict(table), live.fit(table, target).predict(table)
    )


def test_own_word_on_special_columns_counts_beside_a_fitted_pretrainer(
    with_vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    patients = np.arange(40) // 2
    pre = make.citab(cohort_column="clinic", group_column="patient")
    source = FrozenEstimator(pre.fit(with_vectors.assign(patient=patients)))
    east = with_vectors[:24].rename(columns={"photo": "picture", "clinic": "site"})
    east = east.assign(person=patients[:24]).drop(columns=["mass", "photo_grade"])
    own = {"image_column": "picture", "group_column": "person", "cohort_column": "site"}
    regressor = make.citab_regressor(pretrainer=source, finetune="frozen", **own)
    regressor.fit(east, target[:24])
    assert not {"picture", "person", "site"} & set(regressor.feature_names_in_)
    found = regressor.predict(east)
    np.testing.assert_array_equal(regressor.predict(east.drop(columns=list(own.values()))), found)
    for name, value in own.items():
        wrong = clone(regressor).set_params(**{name: "nowhere"})
        with pytest.raises(ValueError, match=f"{name}='nowhere' is not a column"):
            wrong.fit(east, target[:24])
        both = clone(regressor).set_params(pretrainer=clone(pre), **{name: value})
        with pytest.raises(ValueError, match=r"fitted on the same frame, has .*set one of them"):
            both.fit(east, target[:24])


def test_array_beside_a_pretrainer_that_knows_columns_by_name_is_told(
    citab_of_two: CITabPretrainer, target: np.ndarray, make: Any
) -> None:
    regressor = make.citab_regressor(pretrainer=FrozenEstimator(citab_of_two), finetune="frozen")
    with pytest.warns(UserWarning, match="X has no column names"):
        regressor.fit(np.random.default_rng(0).normal(size=(40, 3)), target)


def test_pretrainer_of_the_other_method_is_refused(
    table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    with pytest.raises(TypeError, match=r"a CITabPretrainer, .*got MultiModalPretrainer"):
        make.citab_regressor(pretrainer=make.pretrainer()).fit(table, target)
    with pytest.raises(TypeError, match=r"a MultiModalPretrainer, .*got CITabPretrainer"):
        make.regressor(pretrainer=make.citab()).fit(table, target)


def test_grid_search_reaches_the_pretrainer(
    vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.citab_regressor(pretrainer=make.citab(), finetune="frozen", head="embedding")
    grid = {"pretrainer__lambda_itm": [0.0, 0.5]}
    search = GridSearchCV(regressor, grid, cv=2, error_score="raise").fit(vectors, target)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    best = search.best_estimator_.pretrainer_
    assert best.lambda_itm == search.best_params_["pretrainer__lambda_itm"]


def test_metadata_is_routed_to_the_pretrainer(
    with_vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    weight = np.linspace(0.0, 2.0, 24)
    north = with_vectors[:24]
    with sklearn.config_context(enable_metadata_routing=True):
        pre = make.citab(cohort_column="clinic").set_fit_request(
            sample_weight=True, unlabeled=True, image_paths=False
        )
        regressor = make.citab_regressor(pretrainer=pre, finetune="frozen")
        regressor.set_fit_request(sample_weight=True, unlabeled=True, image_paths=False)
        regressor.set_score_request(sample_weight=False)
        found = cross_validate(
            regressor,
            north,
            target[:24],
            cv=2,
            params={"sample_weight": weight, "unlabeled": Unlabeled(with_vectors[24:])},
            return_estimator=True,
            error_score="raise",
        )
        for estimator in found["estimator"]:
            assert estimator.pretrainer_.codec_.names == ("north", "south")
        regressor.fit(north, target[:24], sample_weight=weight)
    direct = make.citab(cohort_column="clinic").fit(north, sample_weight=weight)
    np.testing.assert_array_equal(regressor.pretrainer_.transform(north), direct.transform(north))


LOADED: list[str] = []


def load_and_note(path: str) -> np.ndarray:
    LOADED.append(path)
    return np.asarray(Image.open(path))


def test_memory_spares_the_second_pre_training_and_notices_other_photos(
    cohorts: Frames, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    north = cohorts["north"].assign(clinic="north")
    folder = Path(north["photo"].iloc[0]).parent
    north["photo"] = [Path(path).name for path in north["photo"]]
    pre = make.citab(
        cohort_column="clinic", image_root={"north": folder, "south": folder},
        image_loader=load_and_note, keep_image_encoder=False,
    )  # fmt: skip
    further = Unlabeled({"south": cohorts["south"]})
    regressor = make.citab_regressor(pretrainer=pre, finetune="frozen", memory=str(tmp_path))
    LOADED.clear()
    for _ in range(2):
        regressor.fit(north, target[:24], unlabeled=further)
        assert len(LOADED) == 40
    other = {"south": cohorts["south"].assign(photo=str(folder / "00.png"))}
    regressor.fit(north, target[:24], unlabeled=Unlabeled(other))
    assert len(LOADED) > 40


# --- distillation --------------------------------------------------------------------------------


def test_unlabeled_rows_that_a_frozen_pretrainer_cannot_place_are_told(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    north = with_vectors[:24][["width", "pressure", "support", "photo"]]
    south = with_vectors[24:][["mass", "photo_grade", "photo"]]
    regressor = make.citab_regressor(pretrainer=FrozenEstimator(citab_of_two))
    for unlabeled in (Unlabeled(south), Unlabeled({"north": north})):
        with pytest.warns(UserWarning, match="unlabeled rows are not used"):
            regressor.fit(north, target[:24], unlabeled=unlabeled)
        assert not any("student" in name for name in regressor.weights_)


def test_unlabeled_rows_of_the_same_cohort_are_distilled(
    citab_of_two: CITabPretrainer, with_vectors: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    own = with_vectors[["width", "pressure", "support", "photo", "clinic"]]
    labelled, further = own[:12], pd.concat([own[12:24], with_vectors[24:]])
    regressor = make.citab_regressor(pretrainer=FrozenEstimator(citab_of_two))
    by_frame = clone(regressor).fit(labelled, target[:12], unlabeled=Unlabeled(further))
    assert "linear_student" in by_frame.weights_
    mapping = dict(iter(further.groupby("clinic")))
    by_mapping = clone(regressor).fit(labelled, target[:12], unlabeled=Unlabeled(mapping))
    np.testing.assert_array_equal(by_mapping.predict(own[:24]), by_frame.predict(own[:24]))
    others = Unlabeled({"south": with_vectors[24:]})
    without = clone(regressor).fit(labelled, target[:12], unlabeled=others)
    assert not any("student" in name for name in without.weights_)


# --- going on ------------------------------------------------------------------------------------


def test_warm_start_goes_on_from_the_last_weights(
    citab_of_two: CITabPretrainer, table: pd.DataFrame, target: np.ndarray, make: Any
) -> None:
    regressor = make.citab_regressor(
        pretrainer=FrozenEstimator(citab_of_two), finetune="full", warm_start=True,
        validation_fraction=None, max_epochs=5,
    )  # fmt: skip
    first = regressor.fit(table, target).predict(table)
    loss = regressor.history_[-1]["train_task"]
    second = regressor.fit(table, target).predict(table)
    assert not np.array_equal(first, second)
    assert regressor.history_[-1]["train_task"] < loss


class PowerCut(Callback):
    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if net.history[-1]["epoch"] == 2:
            raise RuntimeError("power cut")


def test_interrupted_fine_tuning_does_not_take_up_other_headers(
    table: pd.DataFrame, target: np.ndarray, tmp_path: Path, make: Any
) -> None:
    params = {"finetune": "full", "max_epochs": 4, "validation_fraction": None}
    interrupted = make.citab_regressor(callbacks=[PowerCut()], checkpoint_dir=tmp_path, **params)
    with pytest.raises(RuntimeError, match="power cut"):
        interrupted.fit(table, target)
    described = {"column_descriptions": {"width": "breadth in inches"}, **params}
    other = make.citab_regressor(checkpoint_dir=tmp_path, **described).fit(table, target)
    expected = make.citab_regressor(**described).fit(table, target).predict(table)
    np.testing.assert_array_equal(other.predict(table), expected)
    assert len(list(tmp_path.iterdir())) == 1
