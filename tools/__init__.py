"""What `make wheel` and `make wheel-test` run, each a module: `python -m tools.repair_wheel`."""
