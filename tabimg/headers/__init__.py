"""What column headers mean: names, abbreviations, texts as vectors, new columns."""

from __future__ import annotations

from tabimg.headers.abbreviations import ABBREVIATIONS
from tabimg.headers.minilm import MiniLMEncoder
from tabimg.headers.names import check_descriptions, header_texts, normalise_header
from tabimg.headers.ngrams import NgramEncoder
from tabimg.headers.sentence_encoder import SentenceEncoder
from tabimg.headers.text_encoders import TextEncoder, resolve_header_encoder
from tabimg.headers.text_vectors import TextVectors, nearest_headers

__all__ = [
    "ABBREVIATIONS",
    "MiniLMEncoder",
    "NgramEncoder",
    "SentenceEncoder",
    "TextEncoder",
    "TextVectors",
    "check_descriptions",
    "header_texts",
    "nearest_headers",
    "normalise_header",
    "resolve_header_encoder",
]
