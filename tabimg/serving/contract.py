"""What an exported file says about itself: its columns, its classes, the version that wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

# Of the file; a reader refuses later ones.
FORMAT = 1
LABEL, PROBABILITIES, PREDICTION = "label", "probabilities", "prediction"
OUTPUTS = (LABEL, PROBABILITIES, PREDICTION)


class ServingError(ValueError):
    """The file is not one that this version can serve, or was not exported by tabimg."""


@dataclass(frozen=True)
class Feature:
    """A column of the table.

    Parameters
    ----------
    name : str or int
        Its name in the table, or its position in a table without names.
    kind : {"numeric", "categorical", "boolean", "datetime", "empty"}
        "empty" had no value in the training rows and is not used.
    input : str or None
        The name of the file's input; None for an "empty" column.
    """

    name: str | int
    kind: str
    input: str | None


@dataclass(frozen=True)
class Description:
    """The metadata of an exported file.

    Parameters
    ----------
    estimator : str
        The name of its class.
    tabimg_version : str
        That wrote the file.
    features : tuple of Feature
        In the order of ``feature_names_in_``.
    not_features : tuple of str or int
        Columns of photos, groups and cohorts: a table may have them, and they are left out.
    classes : tuple or None
        None for numbers.
    classes_dtype : str or None
        The NumPy dtype of ``classes_``.
    missing_text : str
        The text that stands for a missing cell of a categorical column.
    """

    estimator: str
    tabimg_version: str
    features: tuple[Feature, ...]
    not_features: tuple[str | int, ...]
    classes: tuple[Any, ...] | None
    classes_dtype: str | None
    missing_text: str

    def to_metadata(self) -> dict[str, str]:
        """Return it as texts by name, as ONNX holds metadata; all values are JSON."""
        values = {"format": FORMAT, **asdict(self)}
        return {f"tabimg.{name}": json.dumps(value) for name, value in values.items()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Description:
        """Read what `to_metadata` wrote.

        Raises
        ------
        ServingError
            If something is missing or damaged, or a later version wrote it.
        """
        try:
            version = json.loads(metadata["tabimg.format"])
        except (KeyError, ValueError) as error:
            raise ServingError(
                "the file was not written by tabimg.export.to_onnx: its metadata lack "
                "'tabimg.format'"
            ) from error
        if version != FORMAT:
            raise ServingError(
                f"the file has format {version!r}; this version of tabimg reads format {FORMAT}: "
                "install the version that wrote it, or export the model again"
            )
        try:
            found = {
                name: json.loads(metadata[f"tabimg.{name}"]) for name in cls.__dataclass_fields__
            }
            return cls(
                **{
                    **found,
                    "features": tuple(Feature(**each) for each in found["features"]),
                    "not_features": tuple(found["not_features"]),
                    "classes": None if found["classes"] is None else tuple(found["classes"]),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ServingError(f"the file's metadata are damaged: {error}") from error
