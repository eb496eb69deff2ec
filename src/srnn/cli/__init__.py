"""The commands of ``srnn``: one a file, each with ``add_arguments(parser)`` and the plain function ``run(arguments)``.

They turn words into calls and results into text; what they call is the library's. Heavy imports stand inside the functions.
"""
