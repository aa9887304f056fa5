"""The virtual board's disk: Debian as an image leaves it, with the kernel's simulators of a camera and of pins.

It is made once, from the root tree's own recipe, and kept beside the trees. The way in is a key that is made with it.
"""

from __future__ import annotations

import shutil
import subprocess
import uuid
from pathlib import Path

from tests.machines.trees import ORDINARY_USER, PACKAGES, Recipe, cached
from tests.support import ROOT

HOST_NAME = "device-1"
CARRIED = "hardware"  # label of the disk that brings what differs from run to run
_GPIO_SIM = ROOT / "tests/vm/build-gpio-sim"
_KERNEL = ("linux-image-amd64", "initramfs-tools", "kmod", "mount", "v4l-utils")
_TO_BUILD = ("linux-headers-amd64", "make", "xz-utils")
_NETWORK = "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"
_UNITS = {
    "hardware.service": f"""[Unit]
Description=What hangs on the board: a camera, a chip with pins
After=sys-kernel-config.mount sys-kernel-tracing.mount systemd-udevd.service
Before=preact-edge.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/mkdir -p /run/hardware
ExecStart=/bin/mount -o ro LABEL={CARRIED} /run/hardware
ExecStart=/run/hardware/hardware begin

[Install]
WantedBy=multi-user.target
""",
    "scene.service": """[Unit]
Description=What happens before the camera
Requires=hardware.service
After=hardware.service
StartLimitIntervalSec=0

[Service]
ExecStart=/run/hardware/hardware play
Restart=always
RestartSec=500ms

[Install]
WantedBy=preact-edge.service
""",
}
# Run in the tree: the few modules that find the disk, and no more.
_INITRD = (
    '--setup-hook=mkdir -p "$1/etc/initramfs-tools/conf.d"',
    r'--setup-hook=printf "%s\n" virtio_pci virtio_blk ext4 >"$1/etc/initramfs-tools/modules"',
    '--setup-hook=echo MODULES=list >"$1/etc/initramfs-tools/conf.d/few"',
)
_GPIO_SIM_HOOKS = (
    f"--customize-hook=copy-in '{_GPIO_SIM}' /root",
    '--customize-hook=chroot "$1" /root/build-gpio-sim keep && rm "$1/root/build-gpio-sim"',
)


def board_image(suite: str) -> Path:
    """The folder with ``image`` (copies of it are booted), ``vmlinuz``, ``initrd``, ``key`` and ``host_key.pub``."""
    recipe = Recipe(suite, (*PACKAGES, *_KERNEL, *_TO_BUILD), (*_INITRD, *_GPIO_SIM_HOOKS))
    made_from = "\n".join((recipe.made_from, _GPIO_SIM.read_text(), Path(__file__).read_text()))
    return cached(f"board-{suite}", made_from, lambda folder: _make(recipe, folder))


def _make(recipe: Recipe, folder: Path) -> None:
    tree = folder.with_name("tree")
    recipe.make(tree)
    folder.mkdir()
    _furnish(tree, folder)
    _pack(tree, folder)


def _furnish(tree: Path, folder: Path) -> None:
    """Name it, connect it, let the test in, hang the hardware on it."""
    etc = tree / "etc"
    (etc / "hostname").write_text(f"{HOST_NAME}\n")
    (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {HOST_NAME}\n")
    (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
    (etc / "systemd/network/eth0.network").write_text(_NETWORK)
    for name, text in _UNITS.items():
        (etc / "systemd/system" / name).write_text(text)
    subprocess.run(["systemctl", "-q", f"--root={tree}", "enable", "systemd-networkd", *_UNITS], check=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    for home in (tree / "root", tree / "home" / ORDINARY_USER):
        keys = home / ".ssh/authorized_keys"
        keys.parent.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(folder / "key.pub", keys)
        for path in (keys, keys.parent):
            shutil.chown(path, home.stat().st_uid, home.stat().st_gid)
    shutil.copy(etc / "ssh/ssh_host_ed25519_key.pub", folder / "host_key.pub")


def _pack(tree: Path, folder: Path) -> None:
    """What only making it needed is left out. With a journal, as a card has it."""
    for name in ("vmlinuz", "initrd"):
        (found,) = (tree / "boot").glob(f"{name}*-*")
        shutil.move(found, folder / name)
    for unneeded in ("usr/src", "usr/lib/gcc"):
        shutil.rmtree(tree / unneeded, ignore_errors=True)
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(4 << 30)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(image)], check=True)
