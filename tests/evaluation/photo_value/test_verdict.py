"""The verdict follows its rules of thumb, on scores made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from tabimg.evaluation import PhotoValue
from tabimg.evaluation.photo_value.verdict import VERDICTS


@pytest.fixture
def found() -> Callable[..., PhotoValue]:
    """Make a result from the scores (accuracy) of each method, two folds apart."""

    def make(spread: float = 0.0, message: float = 0.5, **means: float) -> PhotoValue:
        defaults = {"constant": 0.5, "columns": 0.6, "photos": 0.8, "both": 0.8}
        few = {"columns": 0.6, "taught": 0.6, "shuffled": 0.6}
        rows = []
        for budget, n_labels, scores in (("100 %", 80, defaults), ("10 %", 8, {**few, **means})):
            for fold in range(5):
                for method, mean in scores.items():
                    shift = spread * (fold - 2) if method == "taught" else 0.0
                    place = {"repeat": 0, "fold": fold, "budget": budget, "draw": 0}
                    sizes = {"n_labels": n_labels, "n_train": 80, "n_test": 20}
                    row = {"method": method, **place, "fraction": n_labels / 80, **sizes}
                    rows.append({**row, "accuracy": mean + shift})
        carried = pd.DataFrame(
            {"fold": range(5), "n_train": 80, "n_test": 20, "photos": 0.1, "message": message}
        )
        return PhotoValue(pd.DataFrame(rows), carried, "accuracy", 100)

    return make


def test_verdict_follows_its_rules_of_thumb(found: Callable[..., PhotoValue]) -> None:
    assert found().verdict == "nothing_left"
    assert found(message=0.05).verdict == "not_carried"
    assert found(taught=0.62).verdict == "likely_to_pay"
    assert found(taught=0.605).verdict == "nothing_left"  # too little to matter
    assert found(taught=0.62, spread=0.05).verdict == "may_pay"
    assert found(taught=0.62, shuffled=0.62).verdict == "nothing_left"  # not the photos' doing
    value = found(taught=0.62)
    silent = value.scores.assign(
        accuracy=value.scores["accuracy"].where(value.scores["method"] != "photos", 0.51)
    )
    assert replace(value, scores=silent).verdict == "nothing_to_say"
    for verdict in VERDICTS:
        assert f'"{verdict}"' in str(PhotoValue.__doc__)


def test_answers_say_what_is_certain_of_photos(found: Callable[..., PhotoValue]) -> None:
    scores = found(taught=0.62).scores.assign(explained=0.2)
    both = scores[(scores["budget"] == "10 %") & (scores["method"] == "taught")]
    value = PhotoValue(
        pd.concat([scores, both.assign(method="both", accuracy=0.64)], ignore_index=True),
        found().carried,
        "accuracy",
        100,
    )
    # The columns alone stay at .6 with all labels: .62 is beyond their curve, in every fold.
    worth = value.labels_worth.set_index("method").loc["taught"]
    assert (worth["worth"], worth["censored"], worth["low"]) == (10.0, ">", 10.0)
    assert value.share["share"].tolist() == pytest.approx([0.5])
    assert value.complementarity["difference"].tolist() == pytest.approx([0.5 - 0.2])
    text = str(value)
    assert "worth at least 10.0 times the labels" in text
    assert ", certainly more than 1." in text
    assert "They give the table 50 % [50, 50] of what the photo itself adds at test" in text
    assert "The photo tells the teacher more than the table knows, for certain" in text
    frame = value.to_frame().set_index(["question", "what"])
    assert frame.loc[("worth", "taught"), "score"] == 10.0
    assert frame.loc[("share", "taught"), "score"] == pytest.approx(0.5)
    assert frame.loc[("knows", "known"), "score"] == pytest.approx(0.2)


def test_worth_that_shuffled_photos_may_have_too_is_not_called_certain(
    found: Callable[..., PhotoValue],
) -> None:
    text = str(found(taught=0.62, shuffled=0.62))
    assert "worth at least 10.0 times the labels" in text
    assert "; that shuffled ones are worth less is not certain." in text


def test_uncertain_answers_are_said_to_be_so(found: Callable[..., PhotoValue]) -> None:
    value = found(taught=0.62, spread=0.05)
    text = str(value)
    assert "chance can explain that" in text
    assert "certainly" not in text and "for certain" not in text
    # Scores of an earlier version lack the photo at test and the variance that is explained.
    assert value.share.empty
    assert value.complementarity["difference"].isna().all()
