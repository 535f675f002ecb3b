"""Which code this is."""

import functools
import importlib.metadata
import subprocess

from srgan.common.shipped import PACKAGE


@functools.cache
def code_version() -> str:
    """What `git describe` calls the clone, with "-dirty" if its files are others; of an installed package its version.

    "unknown" where there is neither.
    """
    if (PACKAGE.parent / ".git").exists():
        command = ["git", "--no-optional-locks", "-C", str(PACKAGE.parent), "describe", "--always", "--dirty", "--tags"]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return "unknown"
    try:
        return importlib.metadata.version("srgan")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
