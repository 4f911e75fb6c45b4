"""The pages of docs/ as a site: `make site`."""

from orchestrator import __version__

project, version, language = "fashion-mnist-orchestrator", __version__, "en"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["results"]
html_title, html_theme = project, "furo"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
default_role = "code"
smartquotes = False
