"""What goes wrong while a bundle or a lock is made."""


class BundleError(Exception):
    """One line, fit to be shown: what is wrong, with the name of the thing, then what to do about it."""
