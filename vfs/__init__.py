"""The kernel's face of AnchorFS, and its command line."""
