from __future__ import annotations

import copy
import pickle
import sys
import types
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.utils import murmurhash3_32

from tabimg.serialization import read_directory, register, write_directory
from tabimg.table import ABBREVIATIONS, NgramEncoder, SentenceEncoder, resolve_header_encoder
from tabimg.table.text_encoders import encode_texts

register(NgramEncoder)
register(SentenceEncoder)


def reference(text: str, n_features: int, shortest: int, longest: int) -> np.ndarray:
    """Hash the n-grams within padded words, and the pairs of words, one by one."""
    words = text.split()
    features = ["\n".join(pair) for pair in pairwise(words)]
    for word in words:
        padded = f" {word} "
        for n in range(shortest, longest + 1):
            features += [padded[i : i + n] for i in range(max(1, len(padded) - n + 1))]
            if n >= len(padded):
                break
    vector = np.zeros(n_features)
    for feature in features:
        hashed = int(murmurhash3_32(feature, seed=0))
        vector[abs(hashed) % n_features] += 1 if hashed >= 0 else -1
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize(("n_features", "ngram_range"), [(512, (2, 4)), (64, (1, 3))])
def test_ngrams_equal_hashed_counts(n_features, ngram_range):
    texts = ["age", "a", "mean arterial pressure 2", "größe"]
    vectors = NgramEncoder(n_features, ngram_range, abbreviations=None)(texts)
    assert vectors.shape == (4, n_features) and vectors.dtype == np.float32
    plain = [*texts[:3], "grosse"]
    expected = [reference(text, n_features, *ngram_range) for text in plain]
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_ngrams_are_the_same_in_every_version():
    # Saved models read new columns with them: a change of these numbers changes what they see.
    vector = NgramEncoder(n_features=32)(["age"])[0]
    counts = np.zeros(32)
    counts[[3, 17, 18, 22, 27]] = [1, 1, 2, 1, 1]
    counts[[1, 12, 25]] = -1
    np.testing.assert_allclose(vector, counts / np.linalg.norm(counts), atol=1e-6)


def cosine(a: str, b: str, **params) -> float:
    first, second = NgramEncoder(**params)([a, b]).astype(np.float64)
    return float(first @ second)


def test_ngrams_bring_spellings_and_abbreviations_together():
    assert cosine("SystolicBloodPressure", "systolic_blood_pressure") == pytest.approx(1)
    assert cosine("sbp", "SystolicBloodPressure") == pytest.approx(1)
    assert cosine("sbp", "SystolicBloodPressure", abbreviations=None) < 0.3
    assert cosine("colour", "color") > 0.5 > cosine("colour", "weight")


@pytest.mark.parametrize(
    ("a", "b"),
    [("T1N2M0", "T2N1M0"), ("left to right", "right to left"), ("+", "++"), ("a", "a a")],
)
def test_ngrams_tell_apart_the_same_words_in_other_order_or_number(a, b):
    assert cosine(a, b) < 0.995


def test_ngrams_of_texts_without_a_word_are_zero():
    assert not NgramEncoder()(["", "?"]).any()


def test_ngrams_do_not_depend_on_the_other_texts():
    texts = ["age", "sex", "num_rooms"]
    alone = np.concatenate([NgramEncoder()([text]) for text in texts])
    np.testing.assert_array_equal(NgramEncoder()(texts), alone)


def test_own_abbreviations_extend_the_default():
    own = NgramEncoder(abbreviations={**ABBREVIATIONS, "eoa": "effective orifice area"})
    vectors = own(["EOA", "effective orifice area", "sbp", "systolic blood pressure"])
    np.testing.assert_array_equal(vectors[0], vectors[1])
    np.testing.assert_array_equal(vectors[2], vectors[3])


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_features": 0}, ValueError, "n_features"),
        ({"n_features": 2.5}, ValueError, "n_features"),
        ({"ngram_range": (4, 2)}, ValueError, "ngram_range"),
        ({"ngram_range": 3}, ValueError, "ngram_range"),
        ({"abbreviations": "none"}, TypeError, "abbreviations"),
        ({"abbreviations": {"a": 1}}, TypeError, "abbreviations"),
    ],
)
def test_ngram_parameters_out_of_range_are_errors(params, error, message):
    with pytest.raises(error, match=message):
        NgramEncoder(**params)


class Holder(BaseEstimator):
    def __init__(self, header_encoder=None):
        self.header_encoder = header_encoder


ENCODERS = [
    NgramEncoder(),
    NgramEncoder(64, [1, 3], {"a": "b"}),
    NgramEncoder(abbreviations=ABBREVIATIONS),
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
    assert read_directory(tmp_path / "saved") == encoder
    assert encoder != NgramEncoder(n_features=3)


def test_later_changes_of_a_table_do_not_reach_the_encoder():
    table = {"a": "alpha"}
    encoder = NgramEncoder(abbreviations=table)
    table["a"] = "beta"
    assert encoder == NgramEncoder(abbreviations={"a": "alpha"})


class FakeModel:
    """Stands for a sentence-transformers model: as wide as three, and it remembers its calls."""

    loaded: list[tuple[str, dict]]

    def __init__(self, name, **params):
        type(self).loaded.append((name, params))

    def encode(self, texts, **params):
        assert params == {"convert_to_numpy": True, "show_progress_bar": False}
        return np.array([[len(text), text.count(" "), 1.0] for text in texts])


@pytest.fixture
def fake_model(monkeypatch):
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = type("Model", (FakeModel,), {"loaded": []})
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    return module.SentenceTransformer


def test_sentence_model_is_loaded_once_and_at_the_first_call(fake_model):
    encoder = SentenceEncoder("some-model")
    assert fake_model.loaded == []
    vectors = encoder(["SystolicBP", "sbp"])
    encoder(["age"])
    assert len(fake_model.loaded) == 1
    assert vectors.dtype == np.float32
    # "systolic blood pressure" both times
    np.testing.assert_array_equal(vectors, [[23, 2, 1], [23, 2, 1]])
    plain = SentenceEncoder("some-model", abbreviations=None)(["SystolicBP"])
    np.testing.assert_array_equal(plain, [[11, 1, 1]])


def test_sentence_model_that_was_used_is_saved_without_its_network(fake_model, tmp_path):
    encoder = SentenceEncoder("some-model")
    encoder(["age"])
    assert encoder == SentenceEncoder("some-model")
    write_directory(tmp_path / "saved", encoder)
    for twin in (copy.deepcopy(encoder), read_directory(tmp_path / "saved")):
        assert twin == encoder and vars(twin) == {"model": "some-model", "abbreviations": "default"}
        twin(["age"])
    assert len(fake_model.loaded) == 3


def test_sentence_model_of_a_folder_never_looks_at_the_network(fake_model, tmp_path):
    SentenceEncoder(tmp_path)(["age"])
    SentenceEncoder(str(tmp_path))(["age"])
    SentenceEncoder("some-model")(["age"])
    names, params = zip(*fake_model.loaded, strict=True)
    assert names == (str(tmp_path), str(tmp_path), "some-model")
    assert [each["local_files_only"] for each in params] == [True, True, False]
    # No pickled weights, no code of somebody else's.
    assert all(each["model_kwargs"] == {"use_safetensors": True} for each in params)
    assert not any(each["trust_remote_code"] for each in params)


def test_folder_that_is_not_there_is_error_before_anything_is_looked_up(fake_model, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        SentenceEncoder(tmp_path / "absent")(["age"])
    assert fake_model.loaded == []


def test_absent_library_is_error_that_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    encoder = SentenceEncoder("some-model")
    with pytest.raises(ImportError, match=r"pip install 'tabimg\[text\]'"):
        encoder(["age"])


@pytest.mark.parametrize("model", ["", " ", None, 3])
def test_model_that_is_no_path_is_error(model):
    with pytest.raises(TypeError, match="name or the folder"):
        SentenceEncoder(model)


def lengths(texts):
    return np.array([[len(text), 1] for text in texts])


def test_resolve_gives_the_encoder_that_was_meant(tmp_path):
    own = NgramEncoder(64)
    assert resolve_header_encoder("ngrams") == NgramEncoder()
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


@pytest.mark.parametrize("given", ["ngram", "n-grams", "NGrams"])
def test_misspelt_default_is_not_taken_for_a_model(given):
    with pytest.raises(ValueError, match="did you mean 'ngrams'"):
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
