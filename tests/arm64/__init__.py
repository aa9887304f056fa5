"""A board's 64-bit ARM system on this computer: its programs are run by QEMU. Run by .ci/provision-arm64."""
