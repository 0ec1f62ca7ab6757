"""How files are read and written, whatever is in them.

Files are replaced in one step, one (`atomic`) or several (`folders`). swiftforce's own formats have
a name, a version and a checksum (`formats`), and checkpoints are safetensors files (`headers`,
`checkpoints`). Files are read in pieces and never mapped while others may write to them
(`reading`), and what is in them is checked (`checks`).

Nothing here knows what a mask, a search or a network is: their modules say what their files hold.
"""

from swiftforce.files import checks
from swiftforce.files.atomic import (
    atomic_write,
    check_folder,
    check_output_path,
    is_same_file,
)
from swiftforce.files.checkpoints import Checkpoint, check_shape
from swiftforce.files.dtypes import PRUNABLE_DTYPES, dtype_of, name_in_file, numpy_name
from swiftforce.files.folders import atomic_folder
from swiftforce.files.formats import (
    FileFormat,
    checked_bits,
    is_checkpoint,
    packed_masks,
    unpacked_mask,
)
from swiftforce.files.headers import TensorInfo, bits_of, header_of
from swiftforce.files.npz import compressed_rows, csr_arrays, write_npz
from swiftforce.files.packed import PackedTensor, read_packed, write_packed
from swiftforce.files.positions import BITS, GAPS, decoded_mask, encoded
from swiftforce.files.reading import StableFile, open_regular
from swiftforce.files.temporary import temporary_folder

__all__ = [
    "BITS",
    "GAPS",
    "Checkpoint",
    "PRUNABLE_DTYPES",
    "FileFormat",
    "PackedTensor",
    "StableFile",
    "TensorInfo",
    "atomic_folder",
    "atomic_write",
    "bits_of",
    "check_folder",
    "check_output_path",
    "check_shape",
    "checked_bits",
    "checks",
    "compressed_rows",
    "csr_arrays",
    "decoded_mask",
    "dtype_of",
    "encoded",
    "header_of",
    "is_checkpoint",
    "is_same_file",
    "name_in_file",
    "numpy_name",
    "open_regular",
    "packed_masks",
    "read_packed",
    "temporary_folder",
    "unpacked_mask",
    "write_npz",
    "write_packed",
]
