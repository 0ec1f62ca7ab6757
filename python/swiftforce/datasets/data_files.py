"""Files of data sets: opened if they are regular files, and errors that name them."""

from __future__ import annotations

import os
from io import BufferedReader
from pathlib import Path

from swiftforce.errors import DatasetError
from swiftforce.files import open_regular


def file_error(path: Path, problem: str) -> DatasetError:
    """An error about a file of a data set, with its path."""
    return DatasetError(f"{str(path)!r}: {problem}")


def open_data_file(path: Path, advice: str) -> BufferedReader:
    """Open a regular file.

    Parameters
    ----------
    path : Path
    advice : str
        The end of the message if there is no such file.

    Raises
    ------
    DatasetError
        If it cannot be read, or is no regular file: opening a pipe would wait for a writer.
    """
    try:
        return open_regular(path)
    except FileNotFoundError:
        raise file_error(path, f"no such file; {advice}") from None
    except IsADirectoryError:
        raise file_error(path, f"is a folder; {advice}") from None
    except OSError as error:
        raise file_error(path, f"cannot be read: {error.strerror}") from None


def size_of(path: Path, advice: str) -> int:
    """The size of a regular file in bytes; the errors are those of `open_data_file`."""
    with open_data_file(path, advice) as file:
        return os.fstat(file.fileno()).st_size
