"""The commands: arguments, one-line errors, exit codes.

What is imported is no garbage, and what is left at the end needs no sorting: looking through it would take a command a second in all.
"""

import atexit
import gc

USUAL_THRESHOLDS = gc.get_threshold()
gc.set_threshold(100_000)
atexit.register(gc.freeze)
