"""One thin module a phase: inputs -> parts -> outcome. Phases never import one another."""
