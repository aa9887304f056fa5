"""pip, told of another Linux machine: ``crosspip.py VERSION MACHINE PIP-ARGUMENT...``, VERSION of Python, as 3.11.

pip's own --python-version and --platform choose the wheels, but environment markers and Requires-Python it judges by
the Python that runs it; here these are the other machine's, too. --platform is among the arguments.
"""

from __future__ import annotations

import functools
import sys

from pip._internal.cli.main import main
from pip._internal.commands.install import InstallCommand
from pip._vendor.packaging import markers

version, machine, *arguments = sys.argv[1:]
there = markers.default_environment()
there.update(python_version=version, python_full_version=f"{version}.0", implementation_version=f"{version}.0")
there.update(platform_machine=machine, platform_system="Linux", sys_platform="linux", os_name="posix")
markers.default_environment = lambda: there
resolver_for = functools.partial(InstallCommand.make_resolver, py_version_info=(*map(int, version.split(".")), 0))
InstallCommand.make_resolver = staticmethod(resolver_for)  # type: ignore[method-assign]

sys.exit(main([*arguments, "--only-binary=:all:", "--python-version", version]))
