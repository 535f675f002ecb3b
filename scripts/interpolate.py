"""Mix two networks; `python -m scripts.interpolate --help` has the options."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # for a call by the file's path
    from srgan.__main__ import run

    run("interpolate")
