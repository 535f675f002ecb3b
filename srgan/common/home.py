"""`~` in what users write: the shell expands it only in some places."""

import os
import re


def expand_home(text: str) -> str:
    """The text with `~/photos` or `~name/photos`, at the start or after `=`, expanded."""
    return re.sub(r"(?<![^=])~[^/\\=]*", lambda match: os.path.expanduser(match[0]), text)  # noqa: PTH111
