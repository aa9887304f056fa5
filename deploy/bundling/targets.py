"""The boards that bundles are made for, and what their packages must be."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping

from deploy.bundling.errors import BundleError


@dataclasses.dataclass(frozen=True)
class ByHand:
    """A file that no package index has: somebody fetches it from ``address`` and gives it with --with."""

    name: str
    file: str
    address: str


@dataclasses.dataclass(frozen=True)
class Target:
    """One kind of device.

    ``debs`` maps a Debian package that the system lacks to the reason for it; what it depends on comes along, down to
    ``system``, the packages that every such system has. ``constraints`` are pip's.
    """

    name: str
    about: str
    machine: str
    python: str
    glibc: int  # the minor version of the system's glibc 2
    os: Mapping[str, tuple[str, ...]]
    suite: str
    architecture: str
    system_site_packages: bool = False
    constraints: tuple[str, ...] = ()
    debs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    system: tuple[str, ...] = ()
    by_hand: tuple[ByHand, ...] = ()
    note: str = ""

    @property
    def platforms(self) -> tuple[str, ...]:
        """The tags of the wheels that fit, pip's --platform."""
        numbered = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.glibc, 4, -1)]
        return (*numbered, f"manylinux2014_{self.machine}")  # which is 2_17, and pip does not take one for the other


# Both packages are in Raspberry Pi's own archive, not in Debian's; --deb takes them along where an image lacks them.
_CAMERA = "a Raspberry Pi camera needs python3-picamera2, which full images have and Lite images have not"

_BOOKWORM = Target(
    name="pi-bookworm-64",
    about="Raspberry Pi OS Bookworm, 64-bit",
    machine="aarch64",
    python="3.11",
    glibc=36,
    os={"debian": ("12",)},
    suite="bookworm",
    architecture="arm64",
    system_site_packages=True,
    # The system's simplejpeg, which picamera2 imports, is built for numpy 1; OpenCV 4.12 and later ask for numpy 2.
    # QEMU of Debian 12, in which this target is tested, crashes on later LiteRTs.
    constraints=("numpy>=1.24.2,<2", "opencv-python-headless==4.11.0.86", "ai-edge-litert==2.1.6"),
    note=_CAMERA,
)

TARGETS = {
    target.name: target
    for target in (
        _BOOKWORM,
        Target(
            name="pi-trixie-64",
            about="Raspberry Pi OS Trixie, 64-bit",
            machine="aarch64",
            python="3.13",
            glibc=41,
            os={"debian": ("13",)},
            suite="trixie",
            architecture="arm64",
            system_site_packages=True,
            constraints=("numpy>=2.2,<2.5", "opencv-python-headless==4.13.0.92", "ai-edge-litert==2.3.0"),
            # lgpio has no wheel for Python 3.13.
            note=f"the pins need python3-lgpio, which images of this system have; {_CAMERA}",
        ),
        Target(
            name="jetson-jp6",
            about="NVIDIA Jetson, JetPack 6",
            machine="aarch64",
            python="3.10",
            glibc=35,
            os={"ubuntu": ("22.04",)},
            suite="jammy",
            architecture="arm64",
            constraints=("ai-edge-litert==2.3.0",),
            note="USB and network cameras; a CSI camera needs the system's own OpenCV",
        ),
        dataclasses.replace(
            _BOOKWORM,
            name="coral-bookworm",
            about="Raspberry Pi OS Bookworm, 64-bit, with a Coral USB accelerator, untried",
            debs={"libusb-1.0-0": "libedgetpu1-std needs it"},
            system=("libc6", "libudev1"),
            # Google's libedgetpu of 2021 crashes with later runtimes; of these two it is known that they fit.
            by_hand=(
                ByHand(
                    "libedgetpu1-std",
                    "libedgetpu1-std_16.0tf2.17.1-1.bookworm_arm64.deb",
                    "https://github.com/feranick/libedgetpu/releases/download/16.0TF2.17.1-1/libedgetpu1-std_16.0tf2.17.1-1.bookworm_arm64.deb",
                ),
                ByHand(
                    "tflite-runtime",
                    "tflite_runtime-2.17.1-cp311-cp311-linux_aarch64.whl",
                    "https://github.com/feranick/TFlite-builds/releases/download/v2.17.1/tflite_runtime-2.17.1-cp311-cp311-linux_aarch64.whl",
                ),
            ),
        ),
        Target(
            name="debian-amd64",
            about="Debian 12 on a PC",
            machine="x86_64",
            python="3.11",
            glibc=36,
            os={"debian": ("12",)},
            suite="bookworm",
            architecture="amd64",
        ),
        Target(
            name="debian-trixie-amd64",
            about="Debian 13 on a PC",
            machine="x86_64",
            python="3.13",
            glibc=41,
            os={"debian": ("13",)},
            suite="trixie",
            architecture="amd64",
        ),
    )
}


def target_named(name: str) -> Target:
    """BundleError for a name that is none, with those that are."""
    try:
        return TARGETS[name]
    except KeyError:
        close = difflib.get_close_matches(name, TARGETS, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise BundleError(f"target {name}: there is no such target; {hint}there are {', '.join(TARGETS)}") from None
