"""One contestant a file. Each is imported in its own worker process, in the environment where its
library is installed."""
