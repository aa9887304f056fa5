"""Shows that pip finds a wheel for every dependency on another machine: ``resolve.py WHEEL VERSION MACHINE``.

Runs pip itself, told of the other machine where its own --python-version and --platform do not reach: `install` judges
environment markers and Requires-Python by the Python that runs it. Downloads metadata only, where the index has it.
"""

import functools
import sys

from pip._internal.cli.main import main
from pip._internal.commands.install import InstallCommand
from pip._vendor.packaging import markers

GLIBC = 35  # of Ubuntu 22.04, the oldest system with a supported Python

wheel, version, machine = sys.argv[1:]
there = markers.default_environment()
there.update(python_version=version, python_full_version=f"{version}.0", platform_machine=machine)
markers.default_environment = lambda: there
resolver_for = functools.partial(InstallCommand.make_resolver, py_version_info=(*map(int, version.split(".")), 0))
InstallCommand.make_resolver = staticmethod(resolver_for)

options = ["-qq", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--target", "nowhere"]
platforms = [f"--platform=manylinux_2_{minor}_{machine}" for minor in range(5, GLIBC + 1)]
code = main(["install", *options, *platforms, "--python-version", version, f"{wheel}[test]"])
print(f"Python {version} on {machine}: {'every wheel found' if code == 0 else 'FAILED'}")
sys.exit(code)
