"""Rows of one group stay together, and are positives of each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tabimg.objectives import InfoNCE
from tabimg.training import blending, finetuning, mtcmtm, pretraining


def test_group_column_is_no_feature_and_may_be_absent_at_prediction(
    frame: pd.DataFrame, labels: np.ndarray, make: Any
) -> None:
    lots = frame.assign(lot=[f"lot {row // 2}" for row in range(40)])
    pre = make.pretrainer(group_column="lot")
    classifier = make.classifier(pretrainer=pre, finetune="full").fit(lots, labels)
    other_lots = lots.assign(lot="another")
    for given in (lots.drop(columns="lot"), lots.drop(columns=["lot", "photo"]), other_lots):
        np.testing.assert_array_equal(
            classifier.predict_proba(given), classifier.predict_proba(lots)
        )
        np.testing.assert_array_equal(
            classifier.pretrainer_.transform(given), classifier.pretrainer_.transform(lots)
        )


@pytest.mark.parametrize("finetune", ["full", "auto"])
def test_groups_never_cross_the_inner_splits(
    finetune: str,
    frame: pd.DataFrame,
    labels: np.ndarray,
    make: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lot = np.arange(40) % 10
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def recording(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(groups: np.ndarray, *args: Any) -> Any:
            result = function(groups, *args)
            splits = result if isinstance(result, list) else [result]
            seen.extend((groups, *split) for split in splits if split is not None)
            return result

        return call

    for module, name in (
        (pretraining, "validation_split"),
        (finetuning, "validation_split"),
        (finetuning, "grouped_folds"),
        (blending, "grouped_folds"),
    ):
        monkeypatch.setattr(module, name, recording(getattr(module, name)))
    pre = make.pretrainer(group_column="lot", validation_fraction=0.4, batch_size=8)
    make.classifier(pretrainer=pre, finetune=finetune, validation_fraction=0.3).fit(
        frame.assign(lot=lot), labels
    )
    # Pre-training and fine-tuning, which also chooses a penalty by folds; with "auto" the folds of
    # the blend, and the fine-tuning of a network in each of them.
    of_one_network = 1 + finetuning.N_FOLDS
    expected = {"full": of_one_network, "auto": blending.N_FOLDS * (1 + of_one_network)}
    assert len(seen) == 1 + expected[finetune]
    for groups, train, valid in seen:
        assert not set(groups[train]) & set(groups[valid])
        # Nested splits see fewer rows, but rows of one lot keep one common number.
        if len(groups) == len(lot):
            pairs = {(a, b) for a, b in zip(lot, groups, strict=True)}
            assert len(pairs) == 10


@pytest.fixture
def positives_seen(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The positives that the contrastive loss is given, batch by batch."""
    seen: list[np.ndarray] = []

    class RecordingInfoNCE(InfoNCE):
        def forward(self, *projections: Any, **kwargs: Any) -> Any:
            seen.append(kwargs["positives"].numpy())
            return super().forward(*projections, **kwargs)

    monkeypatch.setattr(mtcmtm, "InfoNCE", RecordingInfoNCE)
    return seen


@pytest.mark.parametrize("shared", ["lot", "photo", "row"])
def test_rows_that_share_something_are_positives_of_each_other(
    shared: str, frame: pd.DataFrame, make: Any, positives_seen: list[np.ndarray]
) -> None:
    given = frame.assign(lot=np.arange(40))
    make.pretrainer(group_column="lot").fit(given)
    assert all(np.array_equal(positives, np.eye(len(positives))) for positives in positives_seen)
    positives_seen.clear()
    what_is_shared = {"lot": ["lot"], "photo": ["photo"], "row": ["width", "pressure", "support"]}
    for column in what_is_shared[shared]:
        given[column] = given[column].iloc[0]
    make.pretrainer(group_column="lot").fit(given)
    assert [positives.all() for positives in positives_seen] == [True, True, True]


def test_rows_that_share_one_of_several_photos_are_positives_whichever_is_drawn(
    frame: pd.DataFrame, make: Any, positives_seen: list[np.ndarray]
) -> None:
    two = frame.assign(second=frame["photo"][0])
    make.pretrainer(image_column=["photo", "second"], max_epochs=2).fit(two)
    assert len(positives_seen) == 6
    assert all(positives.all() for positives in positives_seen)
