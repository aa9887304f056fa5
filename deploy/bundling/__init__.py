"""Makes a bundle: one signed file with everything that a device without internet needs for one release.

    targets.py    which boards there are, and what their packages must be
    crosspip.py   pip, told of another machine; CI asks it, too
    locks.py      deploy/locks/TARGET.toml: which wheels and Debian packages, by sha256
    locking.py    renews a lock
    wheels.py     locked wheels, fetched into a folder that is kept
    debs.py       Debian packages of a suite, fetched with apt
    source.py     the checkout: its commit, its files, our own wheel
    models.py     models of the catalogue
    contents.py   the files of a bundle and its manifest
    signing.py    ssh-keygen
    archive.py    the tar, and its reading back
    build.py      these in order

Everything here runs on the machine that makes bundles; deploy/release is what runs on a device.
"""
