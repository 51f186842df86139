"""An ONNX graph under construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import FunctionProto, ModelProto, TensorProto, checker, helper, numpy_helper

# Of ONNX, of its operators and of those for trees and categories: onnxruntime reads them since
# version 1.17.
IR_VERSION = 9
OPSET, ML_OPSET = 18, 3
ML = "ai.onnx.ml"
# The domain of the graph's own functions, and how the names of its values begin.
OWN = "tabimg"

# A name in the graph: the value of a node, an input or a constant.
Value = str


class Graph:
    """Collects nodes and constants; values are known by their names.

    Attributes
    ----------
    reserved : str
        How the names of values begin that are neither inputs nor outputs.
    """

    reserved = f"{OWN}."

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._functions: list[FunctionProto] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, elem_type: int) -> Value:
        """Add an input of shape (n_rows, 1)."""
        self._inputs.append(helper.make_tensor_value_info(name, elem_type, ["n_rows", 1]))
        return name

    def output(self, name: str, elem_type: int, value: Value, width: int | None) -> None:
        """Make a value an output of shape (n_rows,), or (n_rows, width)."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        shape: list[str | int | None] = ["n_rows"] if width is None else ["n_rows", width]
        self._outputs.append(helper.make_tensor_value_info(name, elem_type, shape))

    def constant(self, array: Any) -> Value:
        """Add a constant, an array or what becomes one."""
        name = f"{self.reserved}constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, operator: str, *inputs: Value, domain: str = "", **attributes: Any) -> Value:
        """Add a node with one output."""
        name = f"{self.reserved}{operator.lower()}_{len(self._nodes)}"
        node = helper.make_node(operator, list(inputs), [name], domain=domain, **attributes)
        self._nodes.append(node)
        return name

    def cast(self, value: Value, elem_type: int) -> Value:
        """Convert a value to another type."""
        return self.add("Cast", value, to=elem_type)

    def side_by_side(self, values: Sequence[Value]) -> Value:
        """Put columns or blocks of columns side by side."""
        return values[0] if len(values) == 1 else self.add("Concat", *values, axis=1)

    def no_columns(self, like: Value, elem_type: int) -> Value:
        """Make a value of shape (n_rows, 0), with the rows of another."""
        start, axis = self.constant(np.array([0])), self.constant(np.array([1]))
        return self.cast(self.add("Slice", like, start, start, axis), elem_type)

    def function(self, function: FunctionProto) -> None:
        """Add a function, whose name can then be an operator of the domain ``OWN``."""
        self._functions.append(function)

    def model(self, metadata: Mapping[str, str]) -> ModelProto:
        """Return the finished model."""
        graph = helper.make_graph(
            self._nodes, OWN, self._inputs, self._outputs, initializer=self._constants
        )
        opsets = [("", OPSET), (ML, ML_OPSET)] + ([(OWN, 1)] if self._functions else [])
        model = helper.make_model(
            graph,
            producer_name=OWN,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid(*opset) for opset in opsets],
            functions=self._functions,
        )
        helper.set_model_props(model, dict(metadata))
        checker.check_model(model)
        return model


FLOAT, DOUBLE, INT64, STRING = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT64,
    TensorProto.STRING,
)
