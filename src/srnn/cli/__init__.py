"""The commands of ``srnn``: one per file, each with ``add_arguments(parser)`` and the plain function ``run(arguments)``.

A file's own text is the command's help. They turn arguments into library calls and results into text. Heavy imports are inside
the functions.
"""
