"""``python -m crowd3d`` is the command ``crowd3d``."""

import sys

from crowd3d.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
