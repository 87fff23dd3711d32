"""What the engine and all its watchers share: settings, run directory, journal, state, control.

Only light imports are allowed here: neither torch nor the network.
"""
