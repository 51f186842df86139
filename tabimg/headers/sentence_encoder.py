"""Sentence models as text encoders: an optional extra, loaded at the first call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tabimg.headers.expansion import DEFAULT_TABLE, checked_abbreviations, plain_texts
from tabimg.messages import import_hint, shorten

# Major versions of sentence-transformers that import any class that a local model names.
OUTDATED = ("0", "1", "2", "3", "4", "5")


@dataclass(frozen=True)
class SentenceEncoder:
    """A sentence-transformers model, by name or from a local folder.

    Needs the extra ``text``: ``pip install 'tabimg[text]'``. Nothing is loaded before the first
    call. A folder is read without network access; a name is looked up in the local cache of
    models and downloaded if it is not there. Weights are read as safetensors only and on the CPU,
    and no code that comes with a model is run. An estimator that was saved with a folder is loaded
    only if an encoder is passed: ``load(directory, custom={...})``.

    Parameters
    ----------
    model : str or pathlib.Path
        A folder, or the name of a model, such as "all-MiniLM-L6-v2". A Path is always a folder.
    abbreviations : "default", mapping of str to str, or None, default="default"
        As in `NgramEncoder`: sentence models do not know the abbreviations of headers.

    Raises
    ------
    TypeError, ValueError
        ``model`` is not a path, or the abbreviations are not a table.

    Notes
    -----
    Reimers and Gurevych, Sentence-BERT, arXiv 1908.10084. Texts are normalised first
    (`normalise_header`): the models were trained on words, not on camelCase.
    """

    model: str | Path
    abbreviations: str | Mapping[str, str] | None = DEFAULT_TABLE

    def __post_init__(self) -> None:
        if not isinstance(self.model, (str, Path)) or not str(self.model).strip():
            raise TypeError(
                "model must be the name or the folder of a sentence-transformers model, got "
                f"{self.model!r}."
            )
        object.__setattr__(self, "abbreviations", checked_abbreviations(self.abbreviations))

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Encode texts.

        Parameters
        ----------
        texts : list of str

        Returns
        -------
        ndarray of shape (len(texts), d), dtype float32
            d is the model's own width.

        Raises
        ------
        ImportError
            sentence-transformers is not installed, or older than 6.0.
        FileNotFoundError
            ``model`` is a Path, and there is no such folder.
        """
        plain = plain_texts(texts, self.abbreviations)
        vectors = self._loaded().encode(plain, convert_to_numpy=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

    def _loaded(self) -> Any:
        # Not a field: two encoders are equal and saved alike whether or not they have been used.
        if "_network" not in self.__dict__:
            object.__setattr__(self, "_network", _load_sentence_model(self.model))
        return self.__dict__["_network"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_network"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def _load_sentence_model(model: str | Path) -> Any:
    need = f"The header encoder {shorten(str(model))} needs sentence-transformers"
    others = "or use header_encoder='ngrams', which needs nothing, or 'minilm'"
    with import_hint(need, f"'tabimg[text]', {others}"):
        import sentence_transformers
    version = getattr(sentence_transformers, "__version__", "")
    if version.partition(".")[0] in OUTDATED:
        raise ImportError(
            f"sentence-transformers {version} runs code that a model's folder contains; 6.0 "
            "does not: pip install --upgrade 'tabimg[text]'."
        )
    is_folder = os.path.isdir(model)
    if isinstance(model, Path) and not is_folder:
        raise FileNotFoundError(
            f"There is no folder {shorten(str(model), 200)} to read a model from."
        )
    return sentence_transformers.SentenceTransformer(
        str(model),
        device="cpu",
        local_files_only=is_folder,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )
