"""Every error that preact-edge raises on purpose.

    EdgeError
    ├── ConfigError(ValueError)        a setting is unknown, ill-typed or impossible
    ├── CaptureError(OSError)          a source cannot be opened, or stopped delivering
    │   └── SourceEnded                a file has no more frames; not a failure
    ├── ModelError(ValueError)         a model, its labels or its catalogue entry is unusable
    ├── RuntimeMissing(ImportError)    no TFLite runtime is installed, or it cannot work here
    ├── DelegateError(RuntimeError)    an accelerator's delegate cannot be used
    ├── StreamError(OSError)           a listener cannot be opened, or a connection broke
    │   └── ProtocolError(ValueError)  a peer sent bytes that are no protocol message
    ├── PinError(OSError)              a GPIO pin cannot be used
    ├── StateError(OSError)            the state folder cannot be written or read
    ├── SecurityError(ValueError)      a certificate, key, login or list of revoked ones cannot be used
    └── WorkerDied(RuntimeError)       a thread of the program ended with an exception

A message is one line: what is wrong, with the name of the thing, then what to do about it.
"""


class EdgeError(Exception):
    """The root of the tree; ``str(error)`` is fit to be shown to a user."""

    exit_code = 1


class ConfigError(EdgeError, ValueError):
    exit_code = 2


class CaptureError(EdgeError, OSError):
    pass


class SourceEnded(CaptureError):
    pass


class ModelError(EdgeError, ValueError):
    pass


class RuntimeMissing(EdgeError, ImportError):
    pass


class DelegateError(EdgeError, RuntimeError):
    pass


class StreamError(EdgeError, OSError):
    pass


class ProtocolError(StreamError, ValueError):
    pass


class PinError(EdgeError, OSError):
    pass


class StateError(EdgeError, OSError):
    pass


class SecurityError(EdgeError, ValueError):
    exit_code = 2


class WorkerDied(EdgeError, RuntimeError):
    pass
