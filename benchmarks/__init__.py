"""One script per question, each a module that is run: `python -m benchmarks.selection --help`."""
