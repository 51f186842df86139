from __future__ import annotations

import numpy as np
import pytest

from tabimg.headers import NgramEncoder, TextVectors, nearest_headers
from tabimg.serialization import read_directory, register, write_directory

register(NgramEncoder)


class Recorder:
    """An encoder of random vectors that remembers what it was asked."""

    def __init__(self, width: int = 8) -> None:
        self.calls: list[list[str]] = []
        self.width = width

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.calls.append(texts)
        return np.array([np.random.default_rng(len(t)).normal(size=self.width) for t in texts])


def rms(vectors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(vectors.astype(np.float64) ** 2, axis=1))


def test_vectors_have_root_mean_square_one_and_the_encoders_direction():
    encoder = Recorder()
    vectors = TextVectors(encoder)(["age", "weight"])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(rms(vectors), 1.0, rtol=1e-6)
    raw = encoder(["age", "weight"])
    np.testing.assert_allclose(vectors, raw / rms(raw)[:, None], rtol=1e-6)


def test_distinct_texts_are_encoded_once_and_in_one_call():
    encoder = Recorder()
    vectors = TextVectors(encoder)
    first = vectors(["b", "aaa", "b"])
    np.testing.assert_array_equal(first[0], first[2])
    again = vectors(["aaa", "cc", "b"])
    assert encoder.calls == [["b", "aaa"], ["cc"]]
    np.testing.assert_array_equal(again[[2, 0]], first[:2])
    assert vectors.texts == ["b", "aaa", "cc"]
    np.testing.assert_array_equal(vectors(vectors.texts), vectors.vectors)


def test_vectors_rebuilt_from_their_state_never_ask_for_a_known_text():
    vectors = TextVectors(Recorder())
    before = vectors(["age", "sex"])
    state = vectors.to_state()
    state["encoder"] = later = Recorder()
    rebuilt = TextVectors.from_state(state)
    np.testing.assert_array_equal(rebuilt(["sex", "age"]), before[::-1])
    assert later.calls == []
    rebuilt(["new", "age"])
    assert later.calls == [["new"]]


def test_state_can_be_saved_and_read(tmp_path):
    vectors = TextVectors(NgramEncoder(n_features=16))
    before = vectors(["age", "", "größe"])
    write_directory(tmp_path / "saved", vectors.to_state())
    rebuilt = TextVectors.from_state(read_directory(tmp_path / "saved"))
    assert rebuilt.encoder == NgramEncoder(n_features=16)
    assert rebuilt.texts == ["age", "", "größe"]
    np.testing.assert_array_equal(rebuilt(rebuilt.texts), before)


def test_copy_learns_on_its_own():
    vectors = TextVectors(Recorder())
    vectors(["a"])
    vectors.copy()(["b"])
    assert vectors.texts == ["a"]


def test_texts_of_which_an_encoder_knows_nothing_stand_for_themselves():
    texts = ["", "?", "!", "age", "weight"]
    vectors = TextVectors(NgramEncoder())(texts).astype(np.float64)
    np.testing.assert_allclose(rms(vectors), 1.0, rtol=1e-6)
    cosines = vectors @ vectors.T / vectors.shape[1]
    assert np.abs(cosines - np.eye(5)).max() < 0.2
    np.testing.assert_array_equal(TextVectors(NgramEncoder())(["?"])[0], vectors[1])


def test_own_direction_is_the_same_in_every_process():
    vector = TextVectors(lambda texts: np.zeros((len(texts), 8)))([""])[0]
    # The first byte of SHAKE-256 of nothing is 0x46 (FIPS 202).
    np.testing.assert_array_equal(vector, [-1, 1, -1, -1, -1, 1, 1, -1])


def test_vectors_of_extreme_scale_keep_their_direction():
    tiny = TextVectors(lambda texts: np.array([[3e-300, 4e-300]]))(["a"])
    huge = TextVectors(lambda texts: np.array([[3e300, 4e300]]))(["a"])
    np.testing.assert_allclose(tiny, [[0.6 * 2**0.5, 0.8 * 2**0.5]], rtol=1e-6)
    np.testing.assert_array_equal(tiny, huge)


def test_array_of_the_encoder_is_not_changed():
    returned = np.array([[0.0, 0.0], [3.0, 4.0]])
    TextVectors(lambda texts: returned)(["a", "b"])
    np.testing.assert_array_equal(returned, [[0.0, 0.0], [3.0, 4.0]])


def test_nothing_asked_is_nothing_encoded():
    encoder = Recorder()
    vectors = TextVectors(encoder)
    assert vectors([]).shape == (0, 0) and vectors.width == 0
    vectors(["a"])
    assert vectors([]).shape == (0, 8) and vectors.width == 8
    assert encoder.calls == [["a"]]


def test_encoder_that_changes_its_width_is_error():
    encoder = Recorder()
    vectors = TextVectors(encoder)
    vectors(["a"])
    encoder.width = 9
    with pytest.raises(ValueError, match="width 9, earlier ones have 8"):
        vectors(["b"])
    assert vectors.texts == ["a"]


@pytest.mark.parametrize("text", [3, None, b"age", float("nan")])
def test_text_that_is_no_string_is_error(text):
    with pytest.raises(TypeError, match="must be strings"):
        TextVectors(Recorder())(["age", text])


@pytest.mark.parametrize(
    ("texts", "shape"), [(["a"], (2, 3)), (["a", "b"], (2,)), (["a", "a"], (2, 3))]
)
def test_content_that_does_not_fit_is_error(texts, shape):
    with pytest.raises(ValueError, match="texts"):
        TextVectors(Recorder(), texts, np.ones(shape, dtype=np.float32))


PLANE = {"east": [1, 0], "north": [0, 2], "west": [-3, 0], "northeast": [1, 1], "up": [0, 1]}


def plane(texts: list[str]) -> list[list[int]]:
    return [PLANE[text] for text in texts]


def test_nearest_headers_are_ordered_by_cosine():
    found = nearest_headers(["northeast"], ["west", "east", "north"], TextVectors(plane), n=3)
    assert [name for name, _ in found["northeast"]] == ["east", "north", "west"]
    cosines = [cosine for _, cosine in found["northeast"]]
    np.testing.assert_allclose(cosines, [2**-0.5, 2**-0.5, -(2**-0.5)], rtol=1e-6)


def test_nearest_headers_are_distinct_and_no_more_than_there_are():
    found = nearest_headers(["up", "up"], ["north", "north", "east"], TextVectors(plane), n=9)
    assert list(found) == ["up"]
    assert found["up"] == [("north", pytest.approx(1)), ("east", pytest.approx(0, abs=1e-6))]
    assert found["up"][0][1] <= 1.0


def test_nearest_headers_of_nothing_are_none():
    vectors = TextVectors(plane)
    assert nearest_headers([], ["east"], vectors) == {}
    assert nearest_headers(["east"], [], vectors) == {"east": []}
    with pytest.raises(ValueError, match="at least 1"):
        nearest_headers(["east"], ["up"], vectors, n=0)


def test_nearest_headers_with_the_default_encoder_find_synonyms():
    known = ["age", "systolic_blood_pressure", "heart_rate", "weight_kg"]
    found = nearest_headers(["SystolicBP", "hr", "Weight (lb)"], known, TextVectors(NgramEncoder()))
    nearest = {unknown: best[0][0] for unknown, best in found.items()}
    assert nearest == {
        "SystolicBP": "systolic_blood_pressure",
        "hr": "heart_rate",
        "Weight (lb)": "weight_kg",
    }
