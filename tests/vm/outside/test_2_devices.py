"""What DevicePolicy lets the service open, asked as root: no file's mode and no lack of rights is in the way.

A container has no device policy of its own; here the kernel has one.
"""

from __future__ import annotations

import json

from tests.vm.outside.board import Board

ALLOWED = ("/dev/video0", "/dev/media0", "/dev/gpiochip0", "/dev/null", "/dev/urandom")
REFUSED = ("/dev/vda", "/dev/mem", "/dev/kmsg", "/dev/ttyS0", "/dev/input/event0", "/dev/net/tun")
GROUP = "/sys/fs/cgroup/system.slice/preact-edge.service/cgroup.procs"
OPEN = """
import json, os, sys
told = {}
for path in sys.argv[1:]:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY))
        told[path] = "opened"
    except OSError as error:
        told[path] = error.strerror
print(json.dumps(told))
"""


def opened(board: Board, paths: tuple[str, ...], before: str = "true") -> dict[str, str]:
    """What became of opening each path, as root, after the sh command ``before``."""
    told: dict[str, str] = json.loads(board.run(f"{before} && exec python3 -c '{OPEN}' {' '.join(paths)}"))
    return told


def usb(board: Board) -> str:
    """A device on the USB, where an accelerator would be."""
    return board.run("ls /dev/bus/usb/*/* | head -n 1").strip()


def test_the_services_own_control_group_has_its_devices_and_no_others(device: Board) -> None:
    """A process of root's moves into the running service's control group."""
    allowed = (*ALLOWED, usb(device))
    assert set(opened(device, (*allowed, *REFUSED)).values()) == {"opened"}, "outside of it, root may"

    told = opened(device, (*allowed, *REFUSED), f"echo $$ >{GROUP}")

    assert {path: told[path] for path in allowed} == dict.fromkeys(allowed, "opened")
    assert {path: told[path] for path in REFUSED} == dict.fromkeys(REFUSED, "Operation not permitted")


def test_the_policy_is_the_units(device: Board) -> None:
    """The same, by a unit of its own with nothing but the service's two properties."""
    allow = device.run("systemctl show -p DeviceAllow preact-edge | sed 's/^DeviceAllow=//'").split("\n")
    words = " ".join(f"-p 'DeviceAllow={line}'" for line in allow if line)
    begin = f"systemd-run -q --pipe --wait -p DevicePolicy={device.service('DevicePolicy')} {words}"

    told = json.loads(device.run(f"{begin} python3 -c '{OPEN}' {' '.join((*ALLOWED, *REFUSED))}"))

    assert {path for path, how in told.items() if how == "opened"} == set(ALLOWED)
    assert {told[path] for path in REFUSED} == {"Operation not permitted"}
