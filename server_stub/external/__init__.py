"""Changes made behind the server's back: finding out what the tree says and bringing the index in line with
it.
"""
