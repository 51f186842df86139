"""Sphinx configuration. The build works offline, so there is no intersphinx."""

from __future__ import annotations

import sys
from pathlib import Path

import tabimg

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "tabimg"
author = "The tabimg developers"
copyright = "The tabimg developers"
version = release = tabimg.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "mathml",
]
html_math_renderer = "mathml"
templates_path = ["_templates"]
exclude_patterns = ["_build", "_extensions", "_static", "_templates"]
# Plain `name` in docstrings: a link where it names something of ours, else code.
default_role = "autolink"

autosummary_generate = True
# Types stand in the docstrings, in words; signatures stay short.
autodoc_typehints = "none"
# The narrow table of contents beside a page has no room for the class's name in every line.
toc_object_entries_show_parents = "hide"
# The class template lists members itself.
numpydoc_show_class_members = False

# Other projects' names are not resolved without their inventories.
nitpick_ignore_regex = [
    (r"py:.*", r"(joblib|matplotlib|narwhals|numpy|pandas|PIL|polars|skorch|torch)\..*"),
    (r"py:.*", r"(onnxruntime|scipy|sklearn)\..*"),
    # Plain `names` in docstrings may point at internals, which have no page.
    (r"py:obj", r"tabimg\..*"),
]

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["formulas.css"]
html_title = f"tabimg {release}"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
# Nothing to choose between on these pages.
html_sidebars = {
    page: [] for page in ("index", "install", "quickstart", "serving", "examples", "design")
}
