"""The commands of `so8t`, one module a family; `so8t_core.cli` only parses."""
