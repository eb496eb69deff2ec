"""Networks of others: published weights (.pth in torch's two formats, .npz), NIR graphs,
recordings."""

from __future__ import annotations

import io
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from ..mending import mend_zip
from ..target import Target, write
from .shared import each, network, npz


def read_pth(data: bytes, folder: Path) -> object:
    from paper.compat.weights import read_weights

    return read_weights(write(folder, "a.pth", data))


def pth_seeds() -> dict[str, bytes]:
    import torch

    content = OrderedDict(
        w=torch.arange(6.0).reshape(2, 3), b=torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    )
    found = {}
    for name, new in (("zip", True), ("old", False)):
        file = io.BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=new)
        found[name] = file.getvalue()
    return found


def read_npz(data: bytes, folder: Path) -> None:
    from paper.compat.recordings import Golden
    from paper.compat.weights import read_weights

    path = write(folder, "a.npz", data)

    def recording() -> None:
        golden = Golden(path, double=False)
        golden.spikes("a", 3)
        golden.input("bits", 3, 2, np.dtype(np.float32))

    each(lambda: read_weights(path), recording)


def npz_seeds() -> dict[str, bytes]:
    bits = np.packbits(np.eye(3, dtype=np.uint8)[None].repeat(2, 0), axis=-1)
    return {
        "recording": npz(
            spike_a=bits.transpose(1, 0, 2), spike_a_n=3, x=bits, x_shape=np.array([2, 3, 3])
        )
    }


def read_nir(data: bytes, folder: Path) -> object:
    """The input is JSON, {path in the file: text or numbers}; HDF5's own bytes are h5py's
    affair."""
    import h5py

    from srnn.deploy.export.nir import load

    try:
        content = dict(json.loads(data))
        with h5py.File(folder / "a.nir", "w") as file:
            for path, value in content.items():
                file[path] = (
                    np.array(value["complex"], np.complex128) if isinstance(value, dict) else value
                )
    except Exception:
        return None  # nothing that HDF5 can hold
    return load(folder / "a.nir")


def nir_seeds() -> dict[str, bytes]:
    import tempfile

    import h5py

    from srnn.deploy.export.nir import save, to_graph

    found: dict[str, Any] = {}

    def note(path: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            value = np.asarray(
                item.asstr()[()] if h5py.check_string_dtype(item.dtype) else item[()]
            )
            found[path] = value.tolist()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.nir"
        save(to_graph(network(), dt=0.001)[0], path)
        with h5py.File(path, "r") as file:
            file.visititems(note)
    plain = {name: value for name, value in found.items() if "metadata" not in name}
    return {"tiny": json.dumps(found).encode(), "plain": json.dumps(plain).encode()}


TARGETS = (
    Target("pth", read_pth, pth_seeds, (mend_zip,), ("torch._weights_only_unpickler",),
           words=("cos\nsystem\n", "ctorch._utils\n_rebuild_tensor_v2\n", "data.pkl", "constants.pkl", "code/", "version",
                  "__main__", "torch.nn.modules.linear", "R.", "FloatStorage", "byteorder")),
    Target("weights-npz", read_npz, npz_seeds, (mend_zip,), ("zipfile", "numpy.lib._format_impl", "numpy.lib._npyio_impl")),
    Target("nir", read_nir, nir_seeds, parsers=("nir",), largest=8192,
           words=("complex", "node/nodes/", "LIF", "IF", "CubaLIF", "Conv2d", "Flatten", "1e999", "NaN", "[[[",
                  "node/edges")),
)  # fmt: skip
