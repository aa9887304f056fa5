"""Run as a folder: ``/usr/bin/python3 -I /opt/preact-edge/tool/release ARGUMENTS``."""

import os
import sys

if sys.version_info < (3, 8):  # noqa: UP036 - the interpreter is the device's own, whatever that is
    sys.exit("preact-edge-release: needs Python 3.8, this is older: see docs/operations.md for the supported systems")

sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from release.cli import main  # type: ignore[import-not-found]  # noqa: E402 - found by the line above

if __name__ == "__main__":
    sys.exit(main())
