from __future__ import annotations

import copy
import sys
import types

import numpy as np
import pytest

from tabimg.headers import SentenceEncoder
from tabimg.serialization import SerializationError, read_directory, register, write_directory

register(SentenceEncoder)


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


def test_library_that_runs_code_of_a_folder_is_refused(fake_model, monkeypatch, tmp_path):
    monkeypatch.setattr(sys.modules["sentence_transformers"], "__version__", "5.7.0", raising=False)
    with pytest.raises(ImportError, match=r"5\.7\.0 runs code.*--upgrade 'tabimg\[text\]'"):
        SentenceEncoder(tmp_path)(["age"])
    assert fake_model.loaded == []
    monkeypatch.setattr(sys.modules["sentence_transformers"], "__version__", "6.0.0")
    assert SentenceEncoder(tmp_path)(["age"]).shape == (1, 3)


@pytest.mark.parametrize("is_path", [True, False])
def test_saved_encoder_of_a_folder_is_read_only_if_it_is_handed_over(fake_model, tmp_path, is_path):
    folder = tmp_path / "model"
    folder.mkdir()
    encoder = SentenceEncoder(folder if is_path else str(folder))
    write_directory(tmp_path / "saved", [encoder])
    name = "tabimg.headers.sentence_encoder.SentenceEncoder"
    with pytest.raises(SerializationError, match=f"model in the folder.*custom=.*{name}"):
        read_directory(tmp_path / "saved")
    own = SentenceEncoder(tmp_path)
    assert read_directory(tmp_path / "saved", {name: own})[0] is own
    assert fake_model.loaded == []
