"""Fitted estimators as files that other programs can use. Needs the extra ``onnx``."""

from __future__ import annotations

from tabimg.export.onnx_file import to_onnx

__all__ = ["to_onnx"]
