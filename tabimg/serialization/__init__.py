"""Python state as arrays (safetensors) and JSON, in a directory written whole or not at all.

The lower half of persistence: it knows how to write a tree of plain values, arrays and *registered*
classes, and nothing of what those classes mean. Nothing is ever unpickled: a class is built only if
this package registered it, and must pass the check that it was registered with; a callable is only
taken from the mapping that the caller passes.
"""

import numpy as np

from tabimg.serialization.directories import (
    ARRAYS_FILE,
    FORMAT_VERSION,
    STATE_FILE,
    read_directory,
    write_directory,
)
from tabimg.serialization.random_state import from_plain, to_plain
from tabimg.serialization.registry import (
    CustomObjectError,
    SerializationError,
    is_own_code,
    qualified_name,
    register,
    register_adapter,
    register_code,
)

__all__ = [
    "ARRAYS_FILE",
    "FORMAT_VERSION",
    "STATE_FILE",
    "CustomObjectError",
    "SerializationError",
    "is_own_code",
    "qualified_name",
    "read_directory",
    "register",
    "register_adapter",
    "register_code",
    "write_directory",
]

register_adapter(np.random.RandomState, to_plain, from_plain)
