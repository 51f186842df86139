"""The displays: what they read from fitted estimators, and that they draw it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression

from tabimg.inspection import (
    BlendDisplay,
    EmbeddingMapDisplay,
    ExpertUseDisplay,
    ImportanceDifferenceDisplay,
    PermutationImportanceDisplay,
    RetrievalDisplay,
    TrainingCurvesDisplay,
    header_neighbours,
)


def test_curves_are_those_of_both_histories_and_are_drawn(regressor: Any) -> None:
    display = TrainingCurvesDisplay.from_estimator(regressor)
    curves = display.curves.set_index(["stage", "rows", "term", "epoch"])["value"].sort_index()
    history = regressor.pretrainer_.history_
    for term in ("contrastive", "masked", "loss"):
        drawn = curves["pre-training", "train", term]
        assert drawn.tolist() == [epoch[f"train_{term}"] for epoch in history]
    own = [epoch["train_loss"] for epoch in regressor.history_]
    assert curves["fine-tuning", "train", "loss"].tolist() == own
    ax = display.plot(stage="fine-tuning").ax_
    assert ax.lines[0].get_ydata().tolist() == own
    assert display.figure_ is ax.figure
    # Of the pretrainer alone there is one stage.
    assert TrainingCurvesDisplay.from_estimator(regressor.pretrainer_).stages == ["pre-training"]
    with pytest.raises(ValueError, match="none of 'blending'"):
        display.plot(stage="blending")


def test_blend_shows_weights_and_losses_of_the_report(
    cars: pd.DataFrame, price: np.ndarray, make: Any, few_trees: None
) -> None:
    fitted = make.regressor(finetune="auto", excluded_members=["network", "boosting"])
    fitted.fit(cars.drop(columns="photo"), price)
    display = BlendDisplay.from_estimator(fitted).plot()
    widths = {bar.get_width() for bar in display.ax_.patches}
    assert set(fitted.weights_.values()) <= widths
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts == [f" loss {loss:.3f}" for loss in fitted.report_.to_frame()["loss"]]
    assert f"{fitted.report_.loss:.3f}" in display.ax_.get_title()
    assert "members" in repr(fitted.report_) and len(repr(fitted.report_)) < 200


def test_map_holds_the_principal_components_of_the_embeddings(
    regressor: Any, cars: pd.DataFrame, price: np.ndarray
) -> None:
    display = EmbeddingMapDisplay.from_estimator(regressor, cars, price)
    embedding = regressor.pretrainer_.transform(cars).astype(np.float64)
    expected = PCA(2, svd_solver="full").fit(embedding)
    np.testing.assert_allclose(display.places, expected.transform(embedding), atol=1e-6)
    np.testing.assert_allclose(display.explained, expected.explained_variance_ratio_)
    assert len(display.plot().ax_.collections[0].get_offsets()) == len(cars)
    some = EmbeddingMapDisplay.from_estimator(regressor, cars, cars["paint"], max_rows=10).plot()
    assert len(some.rows) == 10
    assert some.target.tolist() == cars["paint"].iloc[some.rows].tolist()
    legend = {text.get_text() for text in some.ax_.get_legend().get_texts()}
    assert legend == set(some.target)


def test_retrieval_ranks_are_those_of_plain_cosines(pretrainer: Any, cars: pd.DataFrame) -> None:
    display = RetrievalDisplay.from_estimator(pretrainer, cars)
    # Two rows have no photo.
    assert display.rows.tolist() == [row for row in range(len(cars)) if row not in (4, 9)]
    rows, photos = pretrainer.project(cars), pretrainer.project_images(cars)
    assert np.isnan(photos[[4, 9]]).all()
    rows, photos = rows[display.rows], photos[display.rows]
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(photos, axis=1), 1.0, rtol=1e-5)
    expected = [
        1 + sum(rows[i] @ photos[i] < rows[i] @ photo for photo in photos) for i in range(38)
    ]
    assert np.abs(display.ranks["row to photo"] - expected).max() <= 1  # ties within rounding
    table = display.summary()
    assert table.loc["chance", "recall@5"] == pytest.approx(5 / 38)
    ranks = display.ranks["photo to row"]
    assert table.loc["photo to row", "recall@10"] == np.mean(ranks <= 10)
    assert table.loc["photo to row", "median_rank"] == np.median(ranks)
    nearest = display.photos_of_row(3, k=2)
    assert display.similarity[3, nearest[0]] == display.similarity[3].max()
    assert display.rows_of_photo(3, k=1) == display.similarity[:, 3].argmax()
    assert display.plot().ax_.get_xscale() == "log"
    assert display.plot_photos(n_rows=2, k=3).ax_.shape == (2, 4)


def test_retrieval_by_a_collapsed_encoder_is_chance() -> None:
    display = RetrievalDisplay(np.ones((9, 9)), np.arange(9))
    assert display.ranks["row to photo"].tolist() == [5.0] * 9
    assert display.summary().loc["row to photo", "recall@1"] == 0.0
    with pytest.raises(ValueError, match="no thumbnails"):
        display.thumbnail(0)


def test_projections_tell_what_they_lack(cars: pd.DataFrame, make: Any) -> None:
    table = cars.drop(columns="photo")
    blind = make.pretrainer(image_column=None).fit(table)
    for method in (blind.project, blind.project_images):
        with pytest.raises(AttributeError, match="the fit used no photos"):
            method(table)
    with pytest.raises(NotFittedError):
        make.pretrainer().project(table)
    with pytest.raises(ValueError, match="0 rows have a photo"):
        RetrievalDisplay.from_estimator(blind, cars)


def test_importances_are_those_of_scikit_learn(
    regressor: Any, cars: pd.DataFrame, price: np.ndarray
) -> None:
    display = PermutationImportanceDisplay.from_estimator(regressor, cars, price, n_repeats=2)
    table = cars.drop(columns="photo")
    expected = permutation_importance(regressor, table, price, n_repeats=2, random_state=0)
    np.testing.assert_array_equal(display.importances, expected["importances"])
    frame = display.to_frame()
    assert set(frame["column"]) == set(table.columns)
    assert frame["mean"].is_monotonic_decreasing
    ax = display.plot(max_columns=2).ax_
    assert [text.get_text() for text in ax.get_yticklabels()] == frame["column"].tolist()[:2]
    same = ImportanceDifferenceDisplay.from_estimators(
        regressor, regressor, cars, price, n_repeats=2
    )
    assert not same.importances.any()


def test_citab_shows_its_experts_and_the_neighbours_of_headers(
    stacked: pd.DataFrame, with_vectors: pd.DataFrame, make: Any
) -> None:
    citab = make.citab(cohort_column="clinic").fit(with_vectors)
    display = ExpertUseDisplay.from_estimator(citab)
    np.testing.assert_allclose(display.shares.sum(axis=1), 1.0, rtol=1e-5)
    assert len(display.plot().ax_.patches) == display.shares.size
    assert citab.project(with_vectors).shape == citab.project_images(with_vectors).shape == (40, 8)
    known = list(citab.vectors_.texts)
    found = header_neighbours(citab, pd.DataFrame({"Width": [1.0], "pressure_bar": [2.0]}), 2)
    nearest = found.drop_duplicates("column").set_index("column")["neighbour"]
    assert nearest.to_dict() == {"Width": "width", "pressure_bar": "pressure"}
    assert citab.vectors_.texts == known
    assert (
        RetrievalDisplay.from_estimator(citab, with_vectors).summary()["n_candidates"].eq(40).all()
    )


def test_displays_refuse_what_they_cannot_look_into(
    regressor: Any, cars: pd.DataFrame, price: np.ndarray, make: Any
) -> None:
    with pytest.raises(ValueError, match="only finetune='auto'"):
        BlendDisplay.from_estimator(regressor)
    with pytest.raises(TypeError, match="got a LinearRegression"):
        TrainingCurvesDisplay.from_estimator(LinearRegression())
    with pytest.raises(ValueError, match="no mixtures"):
        ExpertUseDisplay.from_estimator(regressor)
    with pytest.raises(ValueError, match="does not read the headers"):
        header_neighbours(regressor, cars)
    scratch = make.regressor(finetune="full").fit(cars.drop(columns="photo"), price)
    with pytest.raises(ValueError, match="trained from scratch"):
        EmbeddingMapDisplay.from_estimator(scratch, cars.drop(columns="photo"))
    with pytest.raises(NotFittedError):
        TrainingCurvesDisplay.from_estimator(make.regressor())
