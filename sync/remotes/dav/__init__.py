"""Remotes behind WebDAV (RFC 4918): what they share, and the plain one."""
