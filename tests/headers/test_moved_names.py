"""Names that stood in ``tabimg.table`` before headers had a room of their own."""

from __future__ import annotations

import pytest

import tabimg.headers
import tabimg.table

# Came later, and never stood there.
NEW = {"MiniLMEncoder"}


@pytest.mark.parametrize("name", sorted(set(tabimg.headers.__all__) - NEW))
def test_name_is_found_where_it_was_with_a_deprecation(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{name} has moved: import it from tabimg.headers"):
        assert getattr(tabimg.table, name) is getattr(tabimg.headers, name)


def test_name_that_never_was_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tabimg.table.nothing  # noqa: B018
