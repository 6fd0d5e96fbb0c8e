"""Runs the command."""

import sys

from croquis.registry.rebuild.rebuild_version import main

if __name__ == "__main__":
    sys.exit(main())
