"""``python -m edge`` is the command ``preact-edge``."""

import sys

from edge.cli import main

sys.exit(main())
