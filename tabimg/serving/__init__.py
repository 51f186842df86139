"""Predictions from an exported file, by onnxruntime: neither torch nor scikit-learn is loaded.

`tabimg.export.to_onnx` writes the file. This room needs NumPy and onnxruntime (extra ``serve``).
"""

from __future__ import annotations

from tabimg.serving.contract import ServingError
from tabimg.serving.model import ServedModel, load

__all__ = ["ServedModel", "ServingError", "load"]
