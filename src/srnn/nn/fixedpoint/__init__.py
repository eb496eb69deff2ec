"""The integer model: what an int8 network computes on a device, to the bit."""
