"""Changes made behind the server's back, told by the kernel as they happen: what may have changed, never what did.
Who did it comes from the programs that share the tree.
"""
