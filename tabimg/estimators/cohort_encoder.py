"""The table encoder that CITab's estimators describe by their parameters."""

from __future__ import annotations

from typing import Any

from tabimg.estimators.parameters import check_choice, check_positive, check_positive_int
from tabimg.headers import resolve_header_encoder
from tabimg.inputs.frames import as_column_list
from tabimg.messages import shorten
from tabimg.training.citab_architectures import EXPERTS, VALUE_FORMS, CohortRecipe, ColumnVectors


def check_table_parameters(estimator: Any) -> None:
    """Check the parameters of the table encoder, and which columns are none of its."""
    special = [estimator.cohort_column, estimator.group_column]
    special = [*as_column_list(estimator.image_column), *(c for c in special if c is not None)]
    for column in special:
        if special.count(column) > 1:
            raise ValueError(
                f"column {shorten(column)} is declared twice among image_column, group_column and "
                "cohort_column: it can be one of them"
            )
    for name in ("dim", "n_heads", "n_layers", "n_experts"):
        check_positive_int(name, getattr(estimator, name))
    check_positive("expansion", estimator.expansion)
    if estimator.dim % estimator.n_heads:
        raise ValueError(
            f"n_heads must divide dim, got n_heads={estimator.n_heads} and dim={estimator.dim}"
        )
    check_choice("expert", estimator.expert, EXPERTS)
    check_choice("value_form", estimator.value_form, VALUE_FORMS)
    resolve_header_encoder(estimator.header_encoder)


def cohort_recipe(estimator: Any, columns: tuple[ColumnVectors, ...]) -> CohortRecipe:
    """Give the recipe of a table encoder by an estimator's parameters and its ``vectors_``."""
    return CohortRecipe(
        columns=columns,
        text_dim=estimator.vectors_.width,
        dim=int(estimator.dim),
        n_heads=int(estimator.n_heads),
        n_layers=int(estimator.n_layers),
        n_experts=int(estimator.n_experts),
        expansion=float(estimator.expansion),
        expert=estimator.expert,
        value_form=estimator.value_form,
    )
