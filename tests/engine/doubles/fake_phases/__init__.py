"""Phases that count instead of working, so that the engine can be tested in seconds."""
