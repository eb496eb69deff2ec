"""Do other libraries compute from our NIR files what we compute? Written in one environment, read in the peers'; see README.md.

python read_ours.py write                               with srnn: writes ours_*.nir and ours_*.npz
python read_ours.py snntorch|norse|spikingjelly         with the peer: reads them, prints how far its output is from ours
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch

CASES = {  # peer -> (dt, scaling, whether its neurons must be alike in a layer)
    "snntorch": (1e-4, "unscaled", False),
    "norse": (1e-3, "one", False),
    "spikingjelly": (1e-3, "keep", True),
}


def write() -> None:
    from srnn import LIF, SRNN, Readout
    from srnn.deploy.export import nir

    for peer, (dt, scaling, alike) in CASES.items():
        for recurrent in (False, True):
            generator = torch.Generator().manual_seed(3)
            hidden = LIF(tau_mem=8.0 if alike else "normal(10, 2)", threshold=0.3)  # type: ignore[arg-type]
            readout = Readout(LIF(tau_mem=6.0, threshold=0.2), "emission")  # type: ignore[arg-type]
            net = SRNN(5, [8, 6], 4, hidden, readout, recurrent=recurrent, generator=generator, backend="reference")
            with torch.no_grad():
                for layer in [*net.layers, net.readout]:
                    layer.weight_in.mul_(4)  # type: ignore[operator]
                x = (torch.rand(3, 40, 5, generator=generator) < 0.4).float() * 4
                y = net(x)[0]
            graph, _ = nir.to_graph(net, dt=dt, scaling=scaling)  # type: ignore[arg-type]
            name = f"ours_{peer}{'_recurrent' if recurrent else ''}"
            nir.save(graph, f"{name}.nir")
            np.savez_compressed(f"{name}.npz", x=x.numpy(), y=y.numpy())


def build(peer: str, graph: Any) -> Any:
    if peer == "snntorch":
        from snntorch.import_nir import import_from_nir

        return import_from_nir(graph)
    if peer == "norse":
        import norse.torch

        return norse.torch.from_nir(graph, dt=1e-3)
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(graph, dt=1e-3)


def read(peer: str) -> None:
    import nir

    for name in (f"ours_{peer}", f"ours_{peer}_recurrent"):
        with np.load(f"{name}.npz") as recorded:
            x, y = torch.from_numpy(recorded["x"]), recorded["y"]
        try:
            net = build(peer, nir.read(f"{name}.nir"))
        except Exception as error:
            print(f"{name}: not read: {type(error).__name__}: {error}")
            continue
        state, outputs = None, []
        for step in x.unbind(1):
            output = net(step, state)
            output, state = output if isinstance(output, tuple) else (output, None)
            outputs.append(output)
        found = torch.stack(outputs, 1).detach().numpy()
        print(f"{name}: {int(y.sum())} spikes of ours, {int((found != y).sum())} of {y.size} differ")


if __name__ == "__main__":
    write() if sys.argv[1] == "write" else read(sys.argv[1])
