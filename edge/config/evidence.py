"""Settings of the pictures and clips that are kept with alerts."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from edge.config.base import Settings


class Evidence(Settings, frozen=True):
    """Pictures of what raised an alert, in the state folder."""

    enabled: Annotated[bool, Meta(description="Keep a picture with each event.")] = True
    max_count: Annotated[int, Meta(ge=1, le=100_000, description="At most so many events, the newest.")] = 500
    max_mb: Annotated[int, Meta(ge=1, le=1_000_000, description="At most so many MB of them, clips included.")] = 200
    max_age_days: Annotated[float, Meta(gt=0.0, le=3650.0, description="Older ones are removed.")] = 30.0
    quality: Annotated[int, Meta(ge=30, le=100, description="JPEG quality.")] = 85
    max_width: Annotated[int, Meta(ge=64, le=7680, description="Wider frames are scaled down to this, pixels.")] = 1280
    annotated: Annotated[bool, Meta(description="Draw boxes, names and scores on the picture; clips have none.")] = True
    clip: Annotated[
        bool, Meta(description="Keep a clip, too. It costs a JPEG for each of its frames, all the time.")
    ] = False
    pre_s: Annotated[float, Meta(ge=0.0, le=30.0, description="Seconds of a clip before the alert.")] = 4.0
    post_s: Annotated[float, Meta(ge=0.5, le=30.0, description="Seconds of a clip after it.")] = 4.0
    clip_fps: Annotated[float, Meta(gt=0.0, le=30.0, description="Frames a second of a clip.")] = 5.0
