"""The paper, Yin, Corradi & Bohte 2021: its published networks (``compat``), its tables and
figures, their recipes and results.

    python -m paper reproduce table1 fig4

Part of the repository, not of the package ``srnn``, of which it may import anything; README.md says
what is where.
"""
