"""Networks: equations, neurons, kernels, modules, losses, and the integer model of a device. Sees
data."""
