"""The installer of a device: verifies a bundle, installs it beside the running release, switches to it and back.

Standard library alone, run by the device's own /usr/bin/python3. Its grammar is that of Python 3.8, so that it can say
on an older system why that one is not supported.
"""
