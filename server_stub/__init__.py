"""anchorfs-server: the Anchor protocol over an ordinary directory. A program of its own; imports nothing of
the client.
"""
