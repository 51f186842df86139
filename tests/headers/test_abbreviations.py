from __future__ import annotations

import pytest

from tabimg.headers.abbreviations import ABBREVIATIONS
from tabimg.headers.names import normalise_header


def test_default_table_is_clean_and_cannot_be_changed():
    keys = ["".join(normalise_header(key).split()) for key in ABBREVIATIONS]
    assert keys == list(ABBREVIATIONS)
    assert all(normalise_header(meaning) == meaning for meaning in ABBREVIATIONS.values())
    with pytest.raises(TypeError):
        ABBREVIATIONS["x"] = "y"
