"""These tests need root, a root tree and minutes: .ci/provision runs them, a plain pytest does not collect them."""

from __future__ import annotations

import os

if "TEST_MACHINE_SUITE" not in os.environ:
    collect_ignore_glob = ["test_*"]
