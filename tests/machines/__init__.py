"""Booted machines to provision: Debian in systemd-nspawn, on a wire of its own. Run by .ci/provision."""
