"""Finds markers of alliance rupture in psychotherapy session transcripts."""

__version__ = "0.1.0"
