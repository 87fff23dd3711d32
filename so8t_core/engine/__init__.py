"""The engine: one process that owns a run, drives its phases and writes its journal."""
