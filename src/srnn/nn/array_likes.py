"""What a caller may give, recognised without importing torch: where torch is not imported, nothing
is a tensor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..errors import SrnnError

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import TypeIs

    from ..data.spikes import Spikes


def is_tensor(x: Any) -> TypeIs[Tensor]:
    """Whether x is a tensor."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(x, torch.Tensor)


def is_spikes(x: Any) -> TypeIs[Spikes]:
    """Whether x is ``Spikes``, which hold a tensor."""
    spikes = sys.modules.get("srnn.data.spikes")
    return spikes is not None and isinstance(x, spikes.Spikes)


def default_dtype() -> str:
    """The dtype of new networks: torch's default, such as "float32"."""
    torch = sys.modules.get("torch")
    if torch is None:
        return "float32"
    return str(torch.get_default_dtype()).removeprefix("torch.")


def as_numpy(x: Any) -> Any:
    """A tensor, on any device, of any dtype and layout, as a numpy array without gradients; else x
    itself.

    Numpy lacks bfloat16, which becomes float32. SrnnError for a tensor without numbers.
    """
    if not is_tensor(x):
        return x
    if x.is_meta:
        raise SrnnError("A tensor on the meta device has no numbers.", "data", "device")
    x = x.detach().to_dense().cpu()
    if str(x.dtype) == "torch.bfloat16":
        return x.float().numpy()
    return x.numpy()
