"""The terminal interface. It knows a run only through `so8t_core.contract`."""
