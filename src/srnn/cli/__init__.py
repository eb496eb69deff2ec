"""The commands of ``srnn``: each a plain typed function in a file of its own, from which its
command line is made.

A parameter's type states what is valid, and the docstring is the command's help. The functions turn
arguments into library calls and results into text; heavy imports are inside them.
"""
