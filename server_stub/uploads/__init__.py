"""Resumable uploads: tus 1.0.0 in front, the drive's own conditions behind."""
