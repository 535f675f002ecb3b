"""`~` in what users write: the shell expands it in some places only."""

import os
import re


def expand_home(text: str) -> str:
    """The text with `~/photos` or `~name/photos`, at its begin or behind `=`, as the path that it stands for."""
    return re.sub(r"(?<![^=])~[^/\\=]*", lambda match: os.path.expanduser(match[0]), text)  # noqa: PTH111
