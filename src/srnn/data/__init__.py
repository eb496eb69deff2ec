"""Signals and what is made of them: encoders, data sets and their tasks, batches, spikes as bits. Sees the leaves only."""
