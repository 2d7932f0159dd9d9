"""Reading recorded machines: snapshots (directory, tar archive) and recordings of real kernels (JSON).

``open_snapshot`` finds the files, ``read_machine`` turns them into a ``RecordedMachine``,
``read_recording`` reads a whole recording for replaying it. ``placement`` (not imported here: it
needs NumPy) chooses where the recorded free pages lie.
"""

from memhotplug.formats.snapshot.arches import ArchFacts, Architectures
from memhotplug.formats.snapshot.files import is_prose, open_snapshot
from memhotplug.formats.snapshot.folder import recordings_in
from memhotplug.formats.snapshot.read import RecordedBlock, RecordedMachine, RecordedNode, RecordedZone, read_machine
from memhotplug.formats.snapshot.recording import KPageFlags, RecordedOp, RecordedStep, Recording, read_recording
from memhotplug.formats.snapshot.source import LIMITS, Limits, Note, SnapshotFiles, SnapshotMeta, Source

__all__ = [
    "LIMITS",
    "ArchFacts",
    "Architectures",
    "KPageFlags",
    "Limits",
    "Note",
    "RecordedBlock",
    "RecordedMachine",
    "RecordedNode",
    "RecordedOp",
    "RecordedStep",
    "RecordedZone",
    "Recording",
    "SnapshotFiles",
    "SnapshotMeta",
    "Source",
    "is_prose",
    "open_snapshot",
    "read_machine",
    "read_recording",
    "recordings_in",
]
