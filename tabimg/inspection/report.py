"""`write_report`: what an estimator learned, and how well it predicts, in one HTML file."""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length

from tabimg import __version__
from tabimg.files import writing_to
from tabimg.image import ImageReadError
from tabimg.image.cells import is_blank
from tabimg.inputs.containers import as_target
from tabimg.inputs.parameter_checks import check_flag
from tabimg.inputs.target_types import plain_target
from tabimg.inspection import page
from tabimg.inspection.blend import BlendDisplay
from tabimg.inspection.curves import TrainingCurvesDisplay
from tabimg.inspection.data_summary import data_summary
from tabimg.inspection.embedding_map import EmbeddingMapDisplay
from tabimg.inspection.examples import example_photos, example_rows
from tabimg.inspection.fitted import has_photos, require_finetuned, rows_of, table_to_predict
from tabimg.inspection.importance import (
    ImportanceDifferenceDisplay,
    PermutationImportanceDisplay,
)
from tabimg.inspection.page import Section
from tabimg.inspection.retrieval import RetrievalDisplay
from tabimg.inspection.scores import held_out_scores
from tabimg.inspection.svg import inline_svg
from tabimg.messages import shorten

WITHOUT = "without photos"
# Intervals of fewer rows are too wide to tell models apart.
FEW_ROWS = 50
MOST_POINTS = 1000


@dataclass(frozen=True, eq=False)
class Material:
    """What a report is made of.

    Parameters
    ----------
    estimator : fitted classifier or regressor
    X, y
        Held-out rows.
    without_photos : fitted classifier or regressor, or None
    baselines : mapping of name to fitted estimator
    include_examples : bool
    n_repeats : int
    random_state : int
    notes : list of str
        What a reader should beware of; sections add to it.
    """

    estimator: Any
    X: Any
    y: np.ndarray
    without_photos: Any
    baselines: Mapping[str, Any]
    include_examples: bool
    n_repeats: int
    random_state: int
    notes: list[str]


def write_report(
    estimator: Any,
    path: str | os.PathLike[str],
    X: Any,
    y: Any,
    *,
    without_photos: Any = None,
    baselines: Mapping[str, Any] | None = None,
    include_examples: bool = False,
    title: str | None = None,
    n_repeats: int = 5,
    random_state: int = 0,
) -> Path:
    """Write a report of a fitted estimator as one HTML file.

    The file loads nothing and runs nothing. It adapts to narrow screens and to dark ones, and can
    be read by keyboard and screen reader. Its sections are notes, scores, data, training curves,
    retrieval, the map of embeddings, the blend, importances, configuration and versions.

    Parameters
    ----------
    estimator : fitted classifier or regressor of tabimg
    path : str or Path
        Of the file, such as "report.html". It replaces an existing one when complete.
    X : DataFrame or array of shape (n_rows, n_columns)
        Rows that the fit has not seen. With their photos, if retrieval is to be measured.
    y : array of shape (n_rows,), or (n_rows, n_outputs) in regression
    without_photos : fitted classifier or regressor of tabimg, default=None
        The same without photos: adds its scores, and what photos taught.
    baselines : mapping of str to fitted estimator, default=None
        Scored beside it on the same rows, without the image column.
    include_examples : bool, default=False
        Also show some rows and photos. Without it the file holds names of columns and classes, and
        aggregates, but no cell of the table and no photo.
    title : str, default=None
    n_repeats : int, default=5
        Times that each column is shuffled for its importance.
    random_state : int, default=0
        Seeds bootstrap, shuffles and draws.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError, TypeError
        For fewer than 3 rows, a target of another length, or rows that cannot be predicted.
    tabimg.image.ImageReadError
        For a photo that cannot be read, unless ``on_bad_image`` allows it.
    OSError
        If the file cannot be written; names the folder.
    sklearn.exceptions.NotFittedError
    """
    check_flag("include_examples", include_examples)
    estimator = require_finetuned(estimator)
    target = plain_target(as_target(y))
    given = rows_of(estimator, X)
    check_consistent_length(given.places, target)
    if len(given) < 3:
        raise ValueError(f"a report needs at least 3 held-out rows, got {len(given)}")
    material = Material(
        estimator,
        X,
        target,
        without_photos,
        dict(baselines or {}),
        include_examples,
        n_repeats,
        int(random_state),
        notes=[],
    )
    path = Path(path)
    name = title or f"{type(estimator).__name__}: what it learned"
    html = _document(material, name, len(given))
    with writing_to(path.parent, len(html)):
        _write(path, html)
    return path


def _document(material: Material, title: str, n_rows: int) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sections = [part for make in _SECTIONS if (part := make(material)) is not None]
    for each in caught:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    told = {str(each.message) for each in caught if issubclass(each.category, UserWarning)}
    if told and not material.include_examples:
        material.notes.append(
            f"{len(told)} warnings came up; they may quote cells, so they are shown where the "
            "report is written, and here with include_examples=True."
        )
    elif told:
        material.notes.extend(shorten(text, 300) for text in sorted(told))
    notes = material.notes or ["Nothing to beware of was found."]
    first = Section("notes", "What to beware of", [page.listed(notes)])
    lead = f"Measured on {n_rows} held-out rows."
    if not material.include_examples:
        lead += " No row and no photo of the data is in this file."
    versions = f"tabimg {__version__}, scikit-learn {sklearn.__version__}, torch "
    versions += f"{torch.__version__}, numpy {np.__version__}, Python {platform.python_version()}."
    return page.page(title, lead, [first, *sections], versions)


def _scores(material: Material) -> Section:
    models = {"this estimator": material.estimator}
    if material.without_photos is not None:
        models[WITHOUT] = material.without_photos
    models |= material.baselines
    table = table_to_predict(material.estimator, material.X)
    found = held_out_scores(models, table, material.y, material.random_state)
    if len(material.y) < FEW_ROWS:
        material.notes.append(
            f"There are {len(material.y)} held-out rows: intervals are wide, and small differences "
            "may be chance."
        )
    caption = "Scores on held-out rows; low and high bound a 95 % bootstrap interval over rows"
    return Section("scores", "Scores", [page.table(found, caption)])


def _data(material: Material) -> Section:
    rows, y = rows_of(material.estimator, material.X), material.y
    summary = data_summary(material.estimator.codec_, rows.table)
    if is_classifier(material.estimator):
        told = f"The target has {len(material.estimator.classes_)} classes"
    else:
        told = f"The target has mean {y.mean():.4g} and standard deviation {y.std():.4g}"
    n_photos = 0
    if has_photos(material.estimator, material.X):
        photos = zip(*(rows.image_cells or []), strict=True)
        n_photos = sum(not all(map(is_blank, cells)) for cells in photos)
    parts = [
        page.paragraph(f"{told}. {n_photos} of {len(rows)} rows have a photo."),
        page.table(summary, "Columns of the held-out rows; numbers in their own units"),
    ]
    if material.include_examples:
        parts.append(page.table(example_rows(rows.table), "The first rows"))
    return Section("data", "Data", parts)


def _curves(material: Material) -> Section | None:
    estimator = material.estimator
    if not estimator.history_ and estimator.pretrainer_ is None:
        return None
    display = TrainingCurvesDisplay.from_estimator(estimator)
    parts = []
    for stage in display.stages:
        own = display.curves[display.curves["stage"] == stage]
        last = own[(own["term"] == "loss") & (own["epoch"] == own["epoch"].max())]
        alt = (
            f"Losses of {stage} by epoch, up to epoch {own['epoch'].max()}, where the mean "
            f"training loss is {last.loc[last['rows'] == 'train', 'value'].mean():.4g}."
        )
        svg = inline_svg(display, alt, f"curves-{stage}", stage=stage)
        parts.append(page.figure(svg, f"Losses of {stage}. Dashed lines are validation rows."))
    return Section("training", "Training", parts)


def _retrieval(material: Material) -> Section | None:
    pretrainer = material.estimator.pretrainer_
    if pretrainer is None or not has_photos(pretrainer, material.X):
        return None
    if not len(pretrainer.network_.build().projections):
        return None
    try:
        display = RetrievalDisplay.from_estimator(
            pretrainer, material.X, random_state=material.random_state
        )
    except ImageReadError:
        raise
    except ValueError as error:
        told = f" ({shorten(str(error), 300)})" if material.include_examples else ""
        reason = f"Rows and photos of this table could not be compared{told}."
        return Section("retrieval", "Rows and photos", [page.paragraph(reason)])
    table = display.summary()
    medians = table["median_rank"]
    median, chance = float(medians.iloc[0]), float(medians["chance"])
    if median > 0.9 * chance:
        material.notes.append(
            f"Rows hardly find their photos: the median rank is {median:g}, that of chance "
            f"{chance:g}."
        )
    alt = (
        f"Recall at k against k, for rows that look for their photo and photos that look for their "
        f"row, among {len(display.rows)} pairs. The numbers are in the table."
    )
    named = table.reset_index(names="direction")
    parts = [
        page.table(named, "Share of queries whose partner is among the k nearest candidates"),
        page.figure(inline_svg(display, alt, "retrieval"), "Recall@k of held-out pairs."),
    ]
    if material.include_examples and display.images is not None and display.images.vectors is None:
        parts.append(example_photos(display))
    return Section("retrieval", "Rows and photos", parts)


def _map(material: Material) -> Section | None:
    if material.estimator.pretrainer_ is None:
        return None
    y = material.y if material.y.ndim == 1 else None
    display = EmbeddingMapDisplay.from_estimator(
        material.estimator,
        material.X,
        y,
        max_rows=MOST_POINTS,
        random_state=material.random_state,
    )
    alt = (
        f"Map of {len(display.rows)} rows by the first two principal components of their "
        f"embeddings, which hold {100 * display.explained.sum():.0f} percent of the variance, "
        "coloured by the target."
    )
    caption = "Pre-training saw no target: where colours are in order, columns and photos tell it."
    return Section("map", "Embeddings", [page.figure(inline_svg(display, alt, "map"), caption)])


def _blend(material: Material) -> Section | None:
    report = getattr(material.estimator, "report_", None)
    if report is None or not report.members:
        return None
    if report.loss >= report.loss_of_columns:
        material.notes.append(
            f"On rows held out inside the fit, the blend's loss is {report.loss:.4g}, and that of "
            f"the columns alone {report.loss_of_columns:.4g}: pre-training and photos did not help."
        )
    display = BlendDisplay.from_estimator(material.estimator)
    alt = "Weights of the blend's members. The numbers are in the table."
    parts = [
        page.table(display.members, "Members: weight, loss on rows held out inside the fit"),
        page.figure(inline_svg(display, alt, "blend"), "Weights in the prediction."),
    ]
    return Section("blend", "Parts of the blend", parts)


def _importances(material: Material) -> Section:
    options: dict[str, Any] = {
        "n_repeats": material.n_repeats,
        "random_state": material.random_state,
    }
    rows = (material.X, material.y)
    display = PermutationImportanceDisplay.from_estimator(material.estimator, *rows, **options)
    parts = _bars(display, "importance", "How much the score drops when a column is shuffled")
    if material.without_photos is not None:
        both = (material.estimator, material.without_photos)
        taught = ImportanceDifferenceDisplay.from_estimators(*both, *rows, **options)
        parts += _bars(taught, "taught", "What photos taught: importance with photos less without")
    return Section("importances", "Columns", parts)


def _bars(display: PermutationImportanceDisplay, name: str, caption: str) -> list[str]:
    frame = display.to_frame()
    alt = f"{caption}. The first of {len(frame)} columns is {frame['column'].iloc[0]}."
    svg = inline_svg(display, alt, name)
    return [page.figure(svg, f"{caption}."), page.table(frame, f"{caption}, over the repeats")]


def _configuration(material: Material) -> Section:
    estimator = material.estimator
    parts = [_changed(estimator)]
    if estimator.pretrainer_ is not None:
        parts.append(_changed(estimator.pretrainer_))
    return Section("configuration", "Configuration", parts)


def _changed(estimator: Any) -> str:
    """List the parameters that differ from their defaults."""
    defaults = type(estimator)().get_params(deep=False)
    changed = [
        f"{name} = {shorten(value)}"
        for name, value in estimator.get_params(deep=False).items()
        if name != "pretrainer" and repr(value) != repr(defaults[name])
    ]
    kind = type(estimator).__name__
    told = changed or ["all parameters are the defaults"]
    return f"<h3>{page.text(kind)}</h3>{page.listed(told)}"


_SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    _scores,
    _data,
    _curves,
    _retrieval,
    _map,
    _blend,
    _importances,
    _configuration,
)


def _write(path: Path, html: str) -> None:
    """Write a file as a whole or not at all."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_text(html, "utf-8")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
