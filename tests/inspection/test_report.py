"""The HTML report: its numbers, what it keeps to itself, and what a reader without eyes gets."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline

from tabimg.inspection import RetrievalDisplay, write_report

VOID = {"meta", "link", "img", "br", "hr", "input", "path", "use"}


class Page(HTMLParser):
    """The elements of a page, and what is wrong with its nesting."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text("utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, self.getpos()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="session")
def report(
    tmp_path_factory: pytest.TempPathFactory,
    regressor: Any,
    cars: pd.DataFrame,
    price: np.ndarray,
    make: Any,
) -> Page:
    """A report with everything but examples."""
    table = cars.drop(columns="photo")
    numbers = make_column_transformer(("passthrough", make_column_selector(dtype_include="number")))
    path = write_report(
        regressor,
        tmp_path_factory.mktemp("report") / "report.html",
        cars,
        price,
        without_photos=make.regressor(finetune="full").fit(table, price),
        baselines={"ridge": make_pipeline(numbers, Ridge()).fit(table, price)},
        n_repeats=2,
        title="Cars & <prices>",
    )
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
    return Page(path)


def test_report_is_a_whole_page_that_assistive_technology_can_read(report: Page) -> None:
    assert report.open == []
    assert report.all("html") == [{"lang": "en"}]
    assert len(report.all("h1")) == len(report.all("main")) == len(report.all("title")) == 1
    assert "Cars &amp; &lt;prices&gt;" in report.source
    figures = report.all("svg") + report.all("img")
    assert len(report.all("svg")) == 6
    for picture in report.all("svg"):
        assert picture["role"] == "img" and len(picture["aria-label"] or "") > 20
    assert all(each.get("alt") or each.get("aria-label") for each in figures)
    ids = [each["id"] for _, each in report.elements if each.get("id")]
    assert len(ids) == len(set(ids))
    targets = [each["href"] or "" for each in report.all("a")]
    assert {target.lstrip("#") for target in targets} <= set(ids)
    headings = [int(tag[1]) for tag, _ in report.elements if tag in ("h1", "h2", "h3")]
    steps = np.diff(headings)
    assert headings[0] == 1 and steps.max() <= 1
    assert len(report.all("caption")) == len(report.all("table")) >= 5
    assert all(each.get("scope") for each in report.all("th"))


def test_report_loads_nothing_and_runs_nothing(report: Page) -> None:
    assert "http://" not in report.source and "https://" not in report.source
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in report.elements}
    assert not [name for _, each in report.elements for name in each if name.startswith("on")]
    links = [each.get(name) for _, each in report.elements for name in ("href", "src")]
    # The one picture of pixels is the bar of colours beside the map.
    inside = [link for link in links if link and not link.startswith("#")]
    assert [link.partition(",")[0] for link in inside] == ["data:image/png;base64"]
    assert "prefers-color-scheme: dark" in report.source
    assert "currentColor" in report.source and "#010203" not in report.source


def test_numbers_of_the_report_are_those_of_the_estimator(
    report: Page, regressor: Any, cars: pd.DataFrame, price: np.ndarray
) -> None:
    rows = {(row[0], row[1]): row[2:] for row in report.rows if len(row) > 2}
    predicted = regressor.predict(cars.drop(columns="photo"))
    value, low, high = (float(each) for each in rows["this estimator", "R²"])
    assert value == pytest.approx(r2_score(price, predicted), rel=1e-3)
    assert low < value < high
    error = float(rows["this estimator", "mean absolute error"][0])
    assert error == pytest.approx(mean_absolute_error(price, predicted), rel=1e-3)
    assert ("ridge", "R²") in rows and ("without photos", "R²") in rows
    retrieval = RetrievalDisplay.from_estimator(regressor, cars).summary()
    for name, own in retrieval.iterrows():
        told = next(row for row in report.rows if row[0] == name)
        assert told[1:] == [f"{number:.4g}" for number in own[:-1]] + ["38"]
    assert "38 of 40 rows have a photo" in report.source


def test_report_without_examples_holds_no_cell_and_no_photo(
    report: Page, cars: pd.DataFrame
) -> None:
    said = "".join(report.texts)
    for name in ("quillwort", "zaffre", ".png", "image/jpeg", "<img"):
        assert name not in report.source
    assert not [cell for cell in cars["mileage"] if str(cell) in report.source]
    assert not [cell for cell in cars["engine_power"] if f"{cell:.3f}" in said]
    assert "mileage" in said


def test_report_with_examples_shows_rows_and_photos(
    tmp_path: Path, regressor: Any, cars: pd.DataFrame, price: np.ndarray
) -> None:
    path = write_report(
        regressor, tmp_path / "r.html", cars, price, include_examples=True, n_repeats=1
    )
    page = Page(path)
    assert page.open == []
    assert "quillwort" in page.source and str(cars["mileage"].iloc[0]) in page.source
    pictures = page.all("img")
    assert len(pictures) == 18
    assert all((each["src"] or "").startswith("data:image/jpeg;base64,") for each in pictures)
    assert all(len(each["alt"] or "") > 10 for each in pictures)


def test_report_of_a_classifier_without_pretrainer_leaves_out_what_it_lacks(
    tmp_path: Path, cars: pd.DataFrame, price: np.ndarray, make: Any
) -> None:
    table = cars.drop(columns="photo")
    labels = np.where(price > np.median(price), "dear", "cheap")
    classifier = make.classifier(finetune="full").fit(table, labels)
    path = write_report(classifier, tmp_path / "r.html", table, labels, n_repeats=1)
    page = Page(path)
    sections = [each["id"] for each in page.all("section")]
    assert sections == ["notes", "scores", "data", "training", "importances", "configuration"]
    scores = {row[1]: row[2] for row in page.rows if row[0] == "this estimator"}
    accuracy = accuracy_score(labels, classifier.predict(table))
    assert float(scores["accuracy"]) == pytest.approx(accuracy, rel=1e-3)
    assert set(scores) == {"accuracy", "balanced accuracy", "log loss"}
    assert "There are 40 held-out rows" in page.source


def test_report_that_fails_leaves_the_earlier_one(
    tmp_path: Path, regressor: Any, cars: pd.DataFrame, price: np.ndarray
) -> None:
    path = tmp_path / "r.html"
    path.write_text("earlier")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        write_report(regressor, path, cars, price[:-1])
    with pytest.raises(ValueError, match="at least 3 held-out rows"):
        write_report(regressor, path, cars[:2], price[:2])
    with pytest.raises(TypeError, match="got a DummyRegressor"):
        write_report(DummyRegressor(), path, cars, price)
    assert path.read_text() == "earlier"
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]
