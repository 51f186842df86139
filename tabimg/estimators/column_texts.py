"""The vectors of a table's headers and categories, as recipes of networks hold them."""

from __future__ import annotations

import numpy as np

from tabimg.headers import TextVectors
from tabimg.headers.adoption import Descriptions, texts_of
from tabimg.table import TableCodec
from tabimg.training.citab_architectures import ColumnVectors


def column_vectors(
    codec: TableCodec, descriptions: Descriptions, vectors: TextVectors
) -> ColumnVectors:
    """Collect the text vectors of a codec's columns, learning those that are new.

    Parameters
    ----------
    codec : TableCodec
    descriptions : mapping of column name to str, or None
    vectors : TextVectors
    """
    texts = texts_of(codec, descriptions)
    headers = [texts[name] for name in (*codec.numeric_names, *codec.categorical_names)]
    # All texts at once: the encoder may be slow to call.
    known = vectors([*headers, *(key for keys in codec.categories for key in keys)])
    cuts = np.cumsum([len(headers), *map(len, codec.categories)])
    parts = np.split(known, cuts[:-1])
    return ColumnVectors(parts[0], tuple(parts[1:]))
