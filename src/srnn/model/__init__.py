"""The record of a trained network (``trained``), its file, its recipe, pretrained networks, and
opening one by its path or name (``opening``)."""
