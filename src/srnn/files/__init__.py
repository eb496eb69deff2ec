"""Reading and writing of files: thin readers over libraries in their safe modes, and atomic
writing.

    limits.py         bounds that are one comparison each
    locking.py        one writer per folder
    reading.py        bytes, JSON, safetensors' headers; ``reading``, which turns any exception of a library into one SrnnError
    writing.py        files that appear under their name only when complete
    unfinished.py     what is being written, and what killed writers leave
    code_cache.py     machine code, in folders that nobody else may write to
    yaml_reading.py   YAML
    bounds.py         bounds of numbers and lists, as parts of a setting's type
    conversion.py     a file's values, converted to the types of a configuration
    json_schema.py    the same types as a JSON schema, for editors
    arrays.py         NumPy's .npy and .npz
    tensors.py        safetensors with JSON and a checksum
    hdf5.py           HDF5, without what is in other files
    wfdb_records.py   WFDB records

The modules from code_cache.py on are imported by name, because most commands need none of them.

A leaf: it imports nothing of networks, data sets or recipes.
"""

from __future__ import annotations

from .limits import CLASSES, TEXT, check_memory
from .locking import FolderInUse, check_folder, check_writable, locked, locks
from .reading import (
    check_file,
    check_files,
    check_regular,
    parse_json,
    read_bytes,
    read_json,
    read_json_lines,
    read_metadata,
    read_object,
    read_text,
    reading,
)
from .unfinished import files_in, new_folder_beside, remove_leftovers
from .writing import (
    append_line,
    changing,
    check_name,
    check_new,
    cut_lines,
    only_writer,
    temporary_folder,
    whole_file,
    whole_folder,
    write_atomically,
    write_json,
)

__all__ = [
    "CLASSES",
    "TEXT",
    "FolderInUse",
    "append_line",
    "changing",
    "check_file",
    "check_files",
    "check_folder",
    "check_memory",
    "check_name",
    "check_new",
    "check_regular",
    "check_writable",
    "cut_lines",
    "files_in",
    "locked",
    "locks",
    "new_folder_beside",
    "only_writer",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_json_lines",
    "read_metadata",
    "read_object",
    "read_text",
    "reading",
    "remove_leftovers",
    "temporary_folder",
    "whole_file",
    "whole_folder",
    "write_atomically",
    "write_json",
]
