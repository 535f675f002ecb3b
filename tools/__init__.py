"""What the maintainers measure, draw and compare with; each runs as `python -m tools.NAME`."""

import scripts  # noqa: F401 - Ctrl-C during imports, and charts, as for the scripts
