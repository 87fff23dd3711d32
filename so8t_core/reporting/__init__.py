"""The final report: composed once from manifests, drawn as Markdown, HTML and JSON."""
