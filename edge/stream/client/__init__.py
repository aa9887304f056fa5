"""The reference client.

``Subscriber`` follows a device for as long as the program runs: it says hello, resumes after a cut, and gives typed
events. ``connect`` gives the messages of one connection as they come, for who only listens.
"""

from __future__ import annotations

from edge.stream.client.cursor import Cursor, CursorStore, FileCursor
from edge.stream.client.login import Login
from edge.stream.client.messages import (
    Alert,
    Connected,
    DetectionResult,
    ErrorMessage,
    Event,
    FramesLost,
    Gap,
    Goodbye,
    Health,
    HelloOk,
    Lost,
    Reset,
    VideoFrame,
    Welcome,
)
from edge.stream.client.openevents import OpenEvents
from edge.stream.client.plain import Client, connect
from edge.stream.client.refusals import CommandFailed, NoWelcome, Refused, Untrusted
from edge.stream.client.subscriber import Subscriber
from edge.stream.client.tls import Tls
from edge.wire.framing import Message
from edge.wire.requests import Frames

__all__ = [
    "Alert",
    "Client",
    "CommandFailed",
    "Connected",
    "Cursor",
    "CursorStore",
    "DetectionResult",
    "ErrorMessage",
    "Event",
    "FileCursor",
    "Frames",
    "FramesLost",
    "Gap",
    "Goodbye",
    "Health",
    "HelloOk",
    "Login",
    "Lost",
    "Message",
    "NoWelcome",
    "OpenEvents",
    "Refused",
    "Reset",
    "Subscriber",
    "Tls",
    "Untrusted",
    "VideoFrame",
    "Welcome",
    "connect",
]
