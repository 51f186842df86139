"""Table networks as functions of a graph, whose weights are inputs: one for each architecture."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from onnx import FunctionProto, helper
from torch import Tensor, nn

from tabimg.export.graph import OPSET, OWN, Graph, Value
from tabimg.messages import shorten
from tabimg.nn.isolation import isolated
from tabimg.table import EncodedTable
from tabimg.training.runtime import own_warning_filters

# They report that torchvision is missing, and how they treat attributes.
_LOGGERS = ("torch.onnx", "torch.export", "onnx_ir", "onnxscript")


class Encoders:
    """Table encoders in a graph: one function for each architecture, called with its weights.

    Parameters
    ----------
    graph : Graph
    example : EncodedTable
        Two rows or more, by which torch traces a network.
    """

    def __init__(self, graph: Graph, example: EncodedTable) -> None:
        self._graph = graph
        self._example = example
        self._known: list[tuple[Any, str, list[str]]] = []

    def embed(
        self, architecture: Any, arrays: Mapping[str, np.ndarray], numeric: Value, codes: Value
    ) -> Value:
        """Add an encoder, float32 (n_rows, embedding_dim).

        Parameters
        ----------
        architecture : TableArchitecture or CohortArchitecture
        arrays : mapping of str to ndarray
            The weights, and maybe others.
        numeric, codes : Value

        Raises
        ------
        TypeError
            If torch cannot translate the network, which only one of a user's can cause.
        """
        function, names = self._function(architecture)
        weights = [self._graph.constant(arrays[name]) for name in names]
        return self._graph.add(function, numeric, codes, *weights, domain=OWN)

    def _function(self, architecture: Any) -> tuple[str, list[str]]:
        for known, function, names in self._known:
            if known == architecture:
                return function, names
        function = f"encoder_{len(self._known)}"
        names = self._translate(architecture, function)
        self._known.append((architecture, function, names))
        return function, names

    def _translate(self, architecture: Any, function: str) -> list[str]:
        """Add a function to the graph, and return the names of its weights in order."""
        with isolated(0):
            module = architecture.build().eval()
        found = {k: v for k, v in module.state_dict().items() if v.is_floating_point()}
        try:
            model = _translated(_WithWeights(module, list(found)), self._example, found.values())
        except Exception as error:  # torch raises many kinds for what it cannot translate
            raise TypeError(
                f"the network {shorten(getattr(architecture, 'encoder', 'of the table'))} cannot "
                f"be exported: torch.onnx.export failed with {type(error).__name__}: "
                f"{str(error)[:300]}"
            ) from error
        self._graph.function(_as_function(model, function))
        return list(found)


class _WithWeights(nn.Module):
    """A module whose weights are arguments, so that one graph serves many of them."""

    def __init__(self, module: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.module = module
        self.names = names

    def forward(self, numeric: Tensor, codes: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
        own = dict(zip(self.names, weights, strict=True))
        return torch.func.functional_call(self.module, own, (numeric, codes))


def _translated(module: nn.Module, example: EncodedTable, weights: Any) -> Any:
    rows: Any = {0: torch.export.Dim.DYNAMIC}
    weights = tuple(weights)
    tensors = (torch.from_numpy(example.numeric), torch.from_numpy(example.codes), weights)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tensors,
            dynamo=True,
            dynamic_shapes=(rows, rows, tuple({} for _ in weights)),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _as_function(model: Any, name: str) -> FunctionProto:
    """Turn a model into a function: its constants become nodes."""
    graph = model.graph
    constants = [
        helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in graph.initializer
    ]
    return helper.make_function(
        OWN,
        name,
        [value.name for value in graph.input],
        [value.name for value in graph.output],
        [*constants, *graph.node],
        list(model.opset_import),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the translators' notes to themselves; levels and filters are as before afterwards."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with own_warning_filters():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
