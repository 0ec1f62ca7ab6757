"""How files are read and written, whatever is in them.

Files are replaced in one step (`atomic`), swiftforce's own formats have a name, a version and a
checksum (`formats`), and safetensors checkpoints are mapped into memory (`checkpoints`).

Nothing here knows what a mask, a search or a network is: their modules say what their files hold.
"""

from swiftforce.files import checks
from swiftforce.files.atomic import (
    atomic_write,
    check_output_path,
    file_error,
    file_size,
    is_same_file,
)
from swiftforce.files.checkpoints import PRUNABLE_DTYPES, Checkpoint, TensorInfo, dtype_of
from swiftforce.files.formats import FileFormat, packed_masks, unpacked_mask

__all__ = [
    "Checkpoint",
    "PRUNABLE_DTYPES",
    "FileFormat",
    "TensorInfo",
    "atomic_write",
    "check_output_path",
    "checks",
    "dtype_of",
    "file_error",
    "file_size",
    "is_same_file",
    "packed_masks",
    "unpacked_mask",
]
