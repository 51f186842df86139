"""The card beside a save: what it says, and what it keeps to itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator

import tabimg
from tabimg.model_card import model_card

# What is tested here holds for any number of trees.
pytestmark = pytest.mark.usefixtures("few_trees")


def card_of(estimator: Any, folder: Path) -> str:
    tabimg.save(estimator, folder)
    return (folder / "card.md").read_text("utf-8")


def test_card_of_a_classifier_tells_columns_classes_and_scores(
    table: pd.DataFrame, labels: np.ndarray, make: Any, tmp_path: Path
) -> None:
    classifier = make.classifier().fit(table, labels)
    card = card_of(classifier, tmp_path / "saved")
    assert card.startswith("# MTCMTMClassifier\n")
    assert f"by tabimg {tabimg.__version__}." in card
    assert "40 labelled rows" in card
    assert "3 classes: `'high'`, `'low'`, `'middle'`." in card
    assert "| 'width' | numeric |  | yes |" in card
    assert "| 'support' | categorical | 3 | no |" in card
    assert "| tabular_encoder | 'mlp' |" in card
    assert str(classifier.report_) in card
    assert "No weights of others take part" in card


def test_card_holds_no_category_and_no_path(
    frame: pd.DataFrame, target: np.ndarray, make: Any, tmp_path: Path
) -> None:
    folder = Path(frame["photo"][0]).parent
    pretrainer = make.pretrainer(image_root=str(folder)).fit(frame)
    regressor = make.regressor(pretrainer=FrozenEstimator(pretrainer), finetune="full")
    card = card_of(regressor.fit(frame, target), tmp_path / "saved")
    assert "Its pretrainer, a MultiModalPretrainer:" in card
    assert "What photos taught" in card
    for kept in ("glass", "paper", "steel", "photos0", str(folder)):
        assert kept not in card


def test_card_names_the_licences_of_public_weights(fitted: Any) -> None:
    pretrainer = fitted.set_params(image_encoder="efficientnet_lite0")
    card = model_card(pretrainer, "1.0")
    assert "EfficientNet-Lite0, trained on ImageNet: Apache-2.0" in card
    assert "None: this estimator embeds rows" in card
    card = model_card(pretrainer.set_params(image_encoder="hf//home/someone/my-model"), "1.0")
    assert "hf/my-model" in card and "someone" not in card


def test_card_of_cohorts_has_a_table_for_each(
    with_vectors: pd.DataFrame, make: Any, tmp_path: Path
) -> None:
    card = card_of(make.citab(cohort_column="clinic").fit(with_vectors), tmp_path / "saved")
    assert "Cohort `'north'`:" in card and "Cohort `'south'`:" in card
    assert "| 'mass' | numeric |" in card


def test_load_ignores_the_card_and_needs_none(
    table: pd.DataFrame, target: np.ndarray, make: Any, tmp_path: Path
) -> None:
    regressor = make.regressor(finetune="full").fit(table, target)
    card = tmp_path / "saved" / "card.md"
    wanted = regressor.predict(table)
    written = card_of(regressor, card.parent)
    card.write_text("mine\n")
    assert (tabimg.load(card.parent).predict(table) == wanted).all()
    card.unlink()  # as in saves of earlier versions
    assert (tabimg.load(card.parent).predict(table) == wanted).all()
    assert card_of(regressor, card.parent) == written


def test_card_that_is_no_part_of_a_save_is_not_replaced(
    table: pd.DataFrame, target: np.ndarray, make: Any, tmp_path: Path
) -> None:
    (tmp_path / "card.md").write_text("somebody's own")
    regressor = make.regressor(finetune="full", max_epochs=1).fit(table, target)
    with pytest.raises(FileExistsError, match=r"give another directory"):
        tabimg.save(regressor, tmp_path)
    assert (tmp_path / "card.md").read_text() == "somebody's own"
