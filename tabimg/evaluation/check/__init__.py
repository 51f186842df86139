"""A table and its photos, looked at before anything is trained."""

from __future__ import annotations

from tabimg.evaluation.check.checked import DataCheck
from tabimg.evaluation.check.look import check_data

__all__ = ["DataCheck", "check_data"]
