"""How files are read and written, whatever is in them.

Files are replaced in one step (`atomic`); swiftforce's own formats have a name, a version and a
checksum (`formats`); checkpoints of safetensors are read where they lie (`checkpoints`). What the
files of one kind hold (masks, searches, networks) lives beside what they hold.
"""

from swiftforce.files.atomic import atomic_write, check_place, file_error, file_size, is_one_of
from swiftforce.files.checkpoints import FLOATS, Checkpoint, Stored, dtype_of
from swiftforce.files.formats import FileFormat, packed_masks, unpacked_mask

__all__ = [
    "Checkpoint",
    "FLOATS",
    "FileFormat",
    "Stored",
    "atomic_write",
    "check_place",
    "dtype_of",
    "file_error",
    "file_size",
    "is_one_of",
    "packed_masks",
    "unpacked_mask",
]
