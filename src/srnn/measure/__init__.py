"""What a trained network does and costs: analysis, energy, the page about a run."""
