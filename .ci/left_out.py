"""Fails where a JUnit report holds a skipped test other than those that need a board: ``left_out.py REPORT``."""

import sys
import xml.etree.ElementTree as ElementTree

skipped = [
    f"{case.get('classname')}::{case.get('name')}: {reason.get('message')}"
    for case in ElementTree.parse(sys.argv[1]).iter("testcase")
    for reason in case.iter("skipped")
    if not (case.get("classname") or "").startswith("tests.hardware.")
]
print("\n".join(skipped) or "every test ran")
sys.exit(bool(skipped))
