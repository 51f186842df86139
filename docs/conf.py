"""Sphinx configuration. The build works offline, so there is no intersphinx."""

from __future__ import annotations

import tabimg

project = "tabimg"
author = "The tabimg developers"
copyright = "The tabimg developers"
version = release = tabimg.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
# Plain `name` in docstrings: a link where it names something of ours, else code.
default_role = "autolink"

autosummary_generate = True
# Types stand in the docstrings, in words; signatures stay short.
autodoc_typehints = "none"
# The class template lists members itself.
numpydoc_show_class_members = False

# Other projects' names are not resolved without their inventories.
nitpick_ignore_regex = [
    (r"py:.*", r"(joblib|matplotlib|narwhals|numpy|pandas|PIL|polars|skorch|torch)\..*"),
    (r"py:.*", r"(scipy|sklearn)\..*"),
    # Plain `names` in docstrings may point at internals, which have no page.
    (r"py:obj", r"tabimg\..*"),
]

html_theme = "pydata_sphinx_theme"
html_title = f"tabimg {release}"
html_show_sourcelink = False
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
# Nothing to choose between on these pages.
html_sidebars = {"index": [], "install": [], "quickstart": [], "design": []}
