"""The server: it lets a model think, and lets nothing out but the final answer."""
