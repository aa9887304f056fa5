"""Pictures made from frames: drawn boxes, privacy masks, the JPEGs of the stream, and what is kept with alerts."""

from edge.evidence.drawing import annotate, encode_jpeg
from edge.evidence.masks import Masks
from edge.evidence.recorder import EvidenceRecorder
from edge.evidence.stills import LEAST_QUALITY, Still, still
from edge.evidence.store import EvidenceStore
from edge.evidence.video import MAX_LOOKS, VideoEncoder

__all__ = [
    "LEAST_QUALITY",
    "MAX_LOOKS",
    "EvidenceRecorder",
    "EvidenceStore",
    "Masks",
    "Still",
    "VideoEncoder",
    "annotate",
    "encode_jpeg",
    "still",
]
