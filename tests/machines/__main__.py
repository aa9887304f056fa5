"""``python -m tests.machines boot bookworm [NAME...]``: machines to try things in; Ctrl-C ends them. As root."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
import tempfile
from pathlib import Path

from tests.machines.nspawn import Machine
from tests.machines.remote import make_key
from tests.machines.trees import ORDINARY_USER, SUITES, root_tree


def _describe(machine: Machine) -> str:
    words = " ".join(shlex.quote(word) for word in machine.ssh_options)
    return "\n".join(
        (
            f"{machine.name} is up at {machine.address}; its root folder is {machine.root}",
            f"  ssh {words} root@{machine.address}",
            f"  {machine.name} ansible_host={machine.address} ansible_user={ORDINARY_USER}"
            f' ansible_ssh_private_key_file={machine.key} ansible_ssh_common_args="-o'
            f' UserKnownHostsFile={machine.known_hosts}"',
        )
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.machines", description=__doc__)
    parser.add_argument("command", choices=("boot",))
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("name", nargs="*", default=["device-1"])
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tree = root_tree(asked.suite)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="machines-")))
        key = make_key(folder / "key")
        for name in asked.name:
            machine = Machine(name, tree, folder / name, key)
            stack.callback(machine.close)
            machine.boot()
            print(_describe(machine), flush=True)
        print("Ctrl-C ends it.", flush=True)
        signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main())
