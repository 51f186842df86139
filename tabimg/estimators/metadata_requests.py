"""Requests of scikit-learn's metadata routing, as a saved estimator holds them."""

from __future__ import annotations

from typing import Any

from sklearn.utils.metadata_routing import MetadataRequest

from tabimg.serialization import register_adapter

_METHODS = ("fit", "transform", "predict", "predict_proba", "decision_function", "score")


def _requests_to_plain(request: MetadataRequest) -> dict[str, Any]:
    owner = request.owner if isinstance(request.owner, str) else type(request.owner).__name__
    return {
        "owner": owner,
        "methods": {method: dict(getattr(request, method).requests) for method in _METHODS},
    }


def _requests_from_plain(plain: dict[str, Any]) -> MetadataRequest:
    request = MetadataRequest(owner=plain["owner"])
    for method, params in plain["methods"].items():
        if method not in _METHODS:
            raise ValueError(f"unknown method {method!r}")
        for param, alias in params.items():
            getattr(request, method).add_request(param=param, alias=alias)
    return request


def register_requests() -> None:
    """Let saved estimators hold metadata requests, whichever module is imported first."""
    register_adapter(MetadataRequest, _requests_to_plain, _requests_from_plain)
