"""The virtual board: QEMU without hardware acceleration, its disk, the plug that is pulled, the camera's cable."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from pathlib import Path

from tests.machines.remote import MachineError, Remote
from tests.support import wait_until
from tests.vm.outside.image import CARRIED, HOST_NAME

BOOT_S = 240.0  # 20 s on an idle computer
STREAM_PORT = 8443  # of a fleet's devices
_HARDWARE = Path(__file__).with_name("hardware")
_MEMORY_MB = 1024
# Of the two watchdogs that the machine has, only the card's resets it.
_KERNEL_WORDS = "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet modprobe.blacklist=iTCO_wdt"


class Board(Remote):
    """A copy of the image in ``folder``: ``boot()`` it, and in the end ``close()`` it.

    Nothing in it reaches beyond it. It has a loopback address of its own, where ssh answers at ``port``, since this
    computer may have an ssh of its own, and the program at its fleet's port.
    """

    def __init__(self, image: Path, folder: Path, recording: Path) -> None:
        folder.mkdir(parents=True)
        self._image = image
        self._qemu: subprocess.Popen[bytes] | None = None
        address = _free_address()
        super().__init__(HOST_NAME, address, folder, image / "key", port=_free_port(address))
        self.know((image / "host_key.pub").read_text())
        subprocess.run(["cp", "--sparse=always", str(image / "image"), str(folder / "disk")], check=True)
        self._carry(recording)

    def _carry(self, recording: Path) -> None:
        """The disk with what differs from run to run: the hardware's script, and what the camera sees."""
        carried = self.folder / "carried"
        carried.mkdir()
        for path in (_HARDWARE, recording):
            shutil.copy(path, carried)
        disk = self.folder / "carried.disk"
        with disk.open("wb") as file:
            file.truncate(128 << 20)
        mke2fs = ("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-L", CARRIED, "-d", str(carried), str(disk))
        subprocess.run(mke2fs, check=True)
        shutil.rmtree(carried)

    def boot(self) -> None:
        """Switch it on; return when ssh answers."""
        monitor = self._monitor
        monitor.unlink(missing_ok=True)
        ports = ((self.port, 22), (STREAM_PORT, STREAM_PORT))
        forward = ",".join(f"hostfwd=tcp:{self.address}:{near}-:{far}" for near, far in ports)
        command = (
            *("setpriv", "--pdeathsig", "KILL", "nice", "-n", "5", "qemu-system-x86_64"),
            *("-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", str(_MEMORY_MB)),
            *("-kernel", str(self._image / "vmlinuz"), "-initrd", str(self._image / "initrd")),
            *("-append", _KERNEL_WORDS),
            # What the machine flushes is in this computer's memory, and stays when QEMU ends; what it does not is lost.
            *("-drive", f"file={self.folder}/disk,format=raw,if=virtio,cache=writeback"),
            *("-drive", f"file={self.folder}/carried.disk,format=raw,if=virtio,readonly=on"),
            *("-netdev", f"user,id=wire,restrict=on,{forward}", "-device", "virtio-net-pci,netdev=wire,romfile="),
            *("-device", "virtio-rng-pci", "-device", "i6300esb", "-device", "qemu-xhci", "-device", "usb-tablet"),
            *("-display", "none"),
            *("-monitor", f"unix:{monitor},server=on,wait=off", "-serial", f"file:{self.folder}/console.log"),
        )
        with (self.folder / "qemu.log").open("wb") as log:
            self._qemu = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_for_ssh(BOOT_S)

    @property
    def _monitor(self) -> Path:
        return self.folder / "monitor"

    def _gone(self) -> bool:
        if self._qemu is not None and self._qemu.poll() is not None:
            raise MachineError(f"QEMU ended: {(self.folder / 'qemu.log').read_text()}")
        return False

    def boot_id(self) -> str:
        """Another one after each boot; empty while nobody answers."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.attempt("cat /proc/sys/kernel/random/boot_id", timeout=20).stdout.strip()
        return ""

    def come_back(self, before: str) -> None:
        """Return when it was booted since ``boot_id()`` was ``before``."""
        self.forget_connections()
        wait_until(lambda: self.boot_id() not in ("", before) or self._gone(), BOOT_S)

    def reboot(self) -> None:
        """As an operator would; return when ssh answers again."""
        before = self.boot_id()
        self.attempt("systemctl reboot")
        self.come_back(before)

    def cut_power(self) -> None:
        """At once, in the middle of whatever it does: what it has not flushed to its disk is lost."""
        if self._qemu is None:
            return
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self._monitor))
            monitor.sendall(b"quit\n")
            self._qemu.wait(20)
        self._qemu = None
        self.forget_connections()

    def hardware(self, word: str) -> None:
        """What happens to the camera: ``unplug``, ``plug``, ``disconnect``, ``freeze``, ``thaw``."""
        self.run(f"/run/hardware/hardware {word}")

    def service(self, name: str) -> str:
        """A property of the program's unit, as ``systemctl show`` has it."""
        return self.run(f"systemctl show --value -p {name} preact-edge").strip()

    def close(self) -> None:
        """At once, and nothing is left of it. Idempotent."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None
        self.forget_connections()
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_address() -> str:
    """One of 127.0.0.0/8 at which nobody has a fleet's port."""
    for number in range(1, 255):
        with contextlib.suppress(OSError), socket.create_server((address := f"127.83.0.{number}", STREAM_PORT)):
            return address
    raise MachineError(f"port {STREAM_PORT} is taken at 127.83.0.1 and all addresses after it")


def _free_port(address: str) -> int:
    with socket.create_server((address, 0)) as server:
        return int(server.getsockname()[1])
