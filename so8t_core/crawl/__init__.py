"""Fetching pages politely and keeping them with everything that says whether they may be used."""
