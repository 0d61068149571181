"""Serving an exported model: its handlers, the HTTP server, the archive, and the trial of an endpoint."""
