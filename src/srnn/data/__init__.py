"""Signals and their encodings: encoders, data sets and their tasks, batches, spikes as bits. Sees
the leaves only."""
