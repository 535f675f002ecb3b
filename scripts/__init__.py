"""What a clone has beside the commands; each runs as `python -m scripts.NAME`."""

import os
import sys

from srgan.common.interrupts import end_at_ctrl_c

# Python's name for the program until it has found the module that is to be run.
if sys.argv[0] == "-m":
    end_at_ctrl_c()
    os.environ["MPLBACKEND"] = "agg"  # as `srgan.__main__.run` does
