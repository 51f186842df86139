from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from tabimg.headers import (
    ABBREVIATIONS,
    MiniLMEncoder,
    NgramEncoder,
    SentenceEncoder,
    resolve_header_encoder,
)
from tabimg.headers.text_encoders import encode_texts
from tabimg.serialization import qualified_name, read_directory, register, write_directory

register(MiniLMEncoder)
register(NgramEncoder)
register(SentenceEncoder)


class Holder(BaseEstimator):
    def __init__(self, header_encoder=None):
        self.header_encoder = header_encoder


ENCODERS = [
    NgramEncoder(),
    NgramEncoder(64, [1, 3], {"a": "b"}),
    NgramEncoder(abbreviations=ABBREVIATIONS),
    MiniLMEncoder(),
    MiniLMEncoder({"a": "b"}),
    SentenceEncoder("a-model", None),
    SentenceEncoder(Path("folder")),
]


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda each: repr(each)[:40])
def test_encoders_can_be_copied_compared_and_saved(encoder, tmp_path):
    assert clone(Holder(encoder)).header_encoder == encoder
    assert copy.deepcopy(encoder) == encoder
    assert pickle.loads(pickle.dumps(encoder)) == encoder
    assert eval(repr(encoder), {**globals(), "PosixPath": Path, "WindowsPath": Path}) == encoder
    write_directory(tmp_path / "saved", encoder)
    # One of a folder is not read but handed over.
    custom = {qualified_name(SentenceEncoder): encoder}
    assert read_directory(tmp_path / "saved", custom) == encoder
    assert encoder != NgramEncoder(n_features=3)


def test_later_changes_of_a_table_do_not_reach_the_encoder():
    table = {"a": "alpha"}
    encoder = NgramEncoder(abbreviations=table)
    table["a"] = "beta"
    assert encoder == NgramEncoder(abbreviations={"a": "alpha"})


def lengths(texts):
    return np.array([[len(text), 1] for text in texts])


def test_resolve_gives_the_encoder_that_was_meant(tmp_path):
    own = NgramEncoder(64)
    assert resolve_header_encoder("ngrams") == NgramEncoder()
    assert resolve_header_encoder("minilm") == MiniLMEncoder()
    assert resolve_header_encoder(own) is own
    assert resolve_header_encoder(lengths) is lengths
    assert resolve_header_encoder("all-MiniLM-L6-v2") == SentenceEncoder("all-MiniLM-L6-v2")
    assert resolve_header_encoder(tmp_path) == SentenceEncoder(tmp_path)
    (tmp_path / "ngrams_").mkdir()
    folder = str(tmp_path / "ngrams_")
    assert resolve_header_encoder(folder) == SentenceEncoder(folder)


@pytest.mark.parametrize("given", [None, 3, [1, 2], NgramEncoder])
def test_resolve_of_anything_else_is_error(given):
    with pytest.raises(TypeError, match="header_encoder"):
        resolve_header_encoder(given)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("ngram", "ngrams"),
        ("n-grams", "ngrams"),
        ("NGrams", "ngrams"),
        ("MiniLM", "minilm"),
        ("mini-lm", "minilm"),
    ],
)
def test_misspelt_name_is_not_taken_for_a_model(given, meant):
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        resolve_header_encoder(given)


def test_encode_texts_takes_lists_and_integers():
    np.testing.assert_array_equal(
        encode_texts(lambda texts: [[1, 2] for _ in texts], ["a", "b"]), [[1.0, 2.0], [1.0, 2.0]]
    )


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (np.zeros(2), ValueError, r"shape \(2,\)"),
        (np.zeros((3, 4)), ValueError, r"2 texts it returned the shape \(3, 4\)"),
        (np.zeros((2, 0)), ValueError, r"shape \(2, 0\)"),
        ([[1.0], [1.0, 2.0]], TypeError, "dense array"),
        ([["a"], ["b"]], TypeError, "dense array"),
        (None, ValueError, r"shape \(\)"),
        (np.array([[1.0], [np.nan]]), ValueError, "NaN or infinity for the text 'sex'"),
        (np.array([[np.inf], [1.0]]), ValueError, "NaN or infinity for the text 'age'"),
    ],
)
def test_encode_texts_of_a_broken_encoder_is_error(returned, error, message):
    with pytest.raises(error, match=message):
        encode_texts(lambda texts: returned, ["age", "sex"])
