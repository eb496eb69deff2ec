"""The GPU backend: what it compiles to, how exactly it multiplies, and all that is to be measured
where there is a GPU."""
