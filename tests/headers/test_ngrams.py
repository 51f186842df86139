from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from sklearn.utils import murmurhash3_32

from tabimg.headers import ABBREVIATIONS, NgramEncoder


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
