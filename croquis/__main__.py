"""`python -m croquis`: the command `croquis` in a checkout that is not installed."""

import sys

from croquis.cli import main

if __name__ == "__main__":
    sys.exit(main())
