"""``python -m tabimg`` is the console script ``tabimg``."""

from __future__ import annotations

from tabimg.cli import main

main()
