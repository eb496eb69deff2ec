"""Faults in the system: what is written fails, is torn, or is lost, call by call; then the same
command is given again.

    PYTHONPATH=src:tests python -m faults --out results/faults     all of it, as JSON and Markdown
    shim.c         before the C library: counts, writes down, and fails calls that change files; refuses memory
    disk.py        what a kill or a power cut leaves of the calls that were written down
    workloads.py   what is put to the test: commands, and what must come of them
    injector.py    one process that has everything imported, and a fork for each fault

After a fault there is the undisturbed result at once, or one clear line with exit code 2; and in
either case the next start, on what the fault left, gives the undisturbed result, to the bit.
"""
