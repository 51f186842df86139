"""Model cards: what a fitted estimator is, for people who were not there when it was fitted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from tabimg.messages import shorten
from tabimg.table import TableCodec
from tabimg.training.report import FitReport

MOST_CLASSES = 20
# Paths say more about a machine and its owner than about a model.
_LEFT_OUT = {"image_root", "image_weights", "cache_dir", "checkpoint_dir", "memory", "pretrainer"}
_IMAGE_LICENCES = {
    "efficientnet_lite0": "EfficientNet-Lite0, trained on ImageNet: Apache-2.0",
    "efficientnet_lite2": "EfficientNet-Lite2, trained on ImageNet: Apache-2.0",
}
_HEADER_LICENCES = {"minilm": "all-MiniLM-L6-v2, which reads headers: Apache-2.0"}


def model_card(estimator: Any, version: str) -> str:
    """Write the card of a fitted estimator.

    Parameters
    ----------
    estimator : pretrainer, classifier or regressor of tabimg
    version : str
        Of tabimg.

    Returns
    -------
    str
        Markdown: data, configuration, held-out scores, limits, licences. It holds names and kinds
        of columns, numbers of rows and categories, and classes, but no cell, no category and no
        path.

    Notes
    -----
    The sections are those of Mitchell et al., "Model cards for model reporting", arXiv 1810.03993,
    as far as a fit can fill them; intended use and fairness are for people to add.
    """
    sections = [
        [f"# {type(estimator).__name__}", f"Saved, and described here, by tabimg {version}."],
        ["## Data", *_data(estimator)],
        ["## Configuration", *_configuration(estimator)],
        ["## Held-out scores", *_scores(getattr(estimator, "report_", None))],
        ["## Limits", *_limits(estimator)],
        ["## Licences", *_licences(estimator)],
    ]
    return "\n\n".join(text for section in sections for text in section) + "\n"


def _data(estimator: Any) -> Iterator[str]:
    report = getattr(estimator, "report_", None)
    if report is not None:
        yield (
            f"{report.n_labelled} labelled rows, and {report.n_pairs} unlabelled rows whose photos "
            "taught students."
        )
    classes = getattr(estimator, "classes_", None)
    if classes is not None:
        shown = ", ".join(f"`{shorten(label)}`" for label in classes[:MOST_CLASSES])
        more = len(classes) - MOST_CLASSES
        yield f"{len(classes)} classes: {shown}" + (f" and {more} more." if more > 0 else ".")
    codec = estimator.codec_
    if isinstance(codec, TableCodec):
        yield _columns(codec)
    else:
        for name, own in zip(codec.names, codec.codecs, strict=True):
            yield f"Cohort `{shorten(name)}`:"
            yield _columns(own)
    yield "Rows, values and names of categories are left out on purpose."


def _columns(codec: TableCodec) -> str:
    sizes = dict(zip(codec.categorical_names, map(len, codec.categories), strict=True))
    flags = [*codec.numeric_has_missing, *codec.categorical_has_missing]
    missing = dict(zip([*codec.numeric_names, *codec.categorical_names], flags, strict=True))
    rows = [
        (shorten(name), kind.value, sizes.get(name, ""), "yes" if missing.get(name) else "no")
        for name, kind in zip(codec.schema.names, codec.schema.kinds, strict=True)
    ]
    return _table(("column", "kind", "categories", "missing cells"), rows)


def _configuration(estimator: Any) -> Iterator[str]:
    yield _parameters(estimator)
    pretrainer = getattr(estimator, "pretrainer_", None)
    if pretrainer is not None:
        yield f"Its pretrainer, a {type(pretrainer).__name__}:"
        yield _parameters(pretrainer)


def _parameters(estimator: Any) -> str:
    """List the parameters."""
    given = estimator.get_params(deep=False)
    kept = [(name, _written(value)) for name, value in given.items() if name not in _LEFT_OUT]
    return _table(("parameter", "value"), kept)


def _written(value: Any) -> str:
    """Write a parameter; of an object its class, and of a model in a folder the folder's name."""
    if isinstance(value, str) and value.startswith("hf/") and os.path.isabs(value[3:]):
        return shorten(f"hf/{os.path.basename(value)}")
    if value is None or isinstance(value, (str, bool, int, float, list, tuple, dict)):
        return shorten(value)
    return getattr(value, "__qualname__", type(value).__name__)


def _scores(report: FitReport | None) -> Iterator[str]:
    if report is None:
        yield "None: this estimator embeds rows, and predicts no target."
        return
    yield "\n".join(["```", str(report), "```"])
    yield (
        "Losses (log loss, or that of the standardised target) are means over rows that were held "
        "out inside the fit. They serve to weight members; for a score to rely on, test rows are "
        "needed that the fit has not seen."
    )


def _limits(estimator: Any) -> Iterator[str]:
    lines = [
        "Only rows like those of the fit can be expected to be predicted as well.",
        "A category that the fit has not seen counts as unknown, and says nothing.",
        "Numbers far outside of those of the fit are bent towards its range.",
        "Nothing here says how predictions differ between groups of people: measure it.",
    ]
    if getattr(estimator, "pretrainer_", estimator) is not None:
        lines.append(
            "What photos taught depends on what they showed: other cameras, places or years may "
            "show something else."
        )
    yield "\n".join(f"- {line}" for line in lines)


def _licences(estimator: Any) -> Iterator[str]:
    sources = [estimator, getattr(estimator, "pretrainer_", None)]
    found = dict.fromkeys(_licences_of(sources))
    if found:
        yield "Weights of others that take part:"
        yield "\n".join(f"- {licence}" for licence in found)
    else:
        yield "No weights of others take part, as far as tabimg knows."


def _licences_of(sources: Sequence[Any]) -> Iterator[str]:
    for source in sources:
        image = getattr(source, "image_encoder", None)
        if isinstance(image, str):
            if image in _IMAGE_LICENCES:
                yield _IMAGE_LICENCES[image]
            elif "/" in image:
                yield f"the image encoder {_written(image)}: see the page of the model"
        headers = getattr(source, "header_encoder", None)
        if isinstance(headers, str) and headers in _HEADER_LICENCES:
            yield _HEADER_LICENCES[headers]


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Write a table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
