"""Unlabeled rows in fine-tuning: checked, and taken apart for distillation."""

from __future__ import annotations

from typing import Any

from tabimg.inputs.declared_columns import DeclaredColumns
from tabimg.inputs.rows import Rows
from tabimg.inputs.unlabeled import Unlabeled
from tabimg.messages import warn


def check_unlabeled(estimator: Any, unlabeled: Unlabeled | None) -> None:
    """Refuse unlabeled rows that would not be used."""
    if unlabeled is None:
        return
    if not isinstance(unlabeled, Unlabeled):
        raise TypeError(
            f"unlabeled must be tabimg.Unlabeled(frame), got {type(unlabeled).__name__}"
        )
    if estimator.pretrainer is None:
        raise ValueError("unlabeled rows are for pre-training, and pretrainer is None")
    is_fitted = not isinstance(estimator.pretrainer, estimator.pretrainer_class)
    if is_fitted and estimator.finetune != "auto":
        raise ValueError(
            "unlabeled rows are for pre-training, which is already done, and for "
            f"finetune='auto'; pretrainer is frozen and finetune is {estimator.finetune!r}"
        )


def pairs_to_distil(estimator: Any, given: Rows, unlabeled: Unlabeled | None) -> Rows | None:
    """Take the unlabeled rows apart, if their photos can be distilled."""
    if unlabeled is None or estimator.pretrainer_ is None or estimator.finetune != "auto":
        return None
    declared = DeclaredColumns.of(estimator, estimator.pretrainer_)
    further = estimator._columns.unlabeled_rows(declared, given, unlabeled)
    if further is None:
        warn_of_idle_pairs(
            estimator,
            "pre-training is already done, and none are known to belong to the cohort of X. "
            "Give a frame with the columns of X, or name both cohorts with cohort_column=",
        )
    return further


def warn_of_idle_pairs(estimator: Any, reason: str) -> None:
    """Warn that unlabeled rows teach nothing, unless pre-training has just learned from them."""
    # A pretrainer that was fitted here has at least learned from them.
    if not isinstance(estimator.pretrainer, estimator.pretrainer_class):
        warn(f"the unlabeled rows are not used: {reason}")
