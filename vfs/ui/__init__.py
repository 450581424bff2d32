"""The local page of `anchorfs ui`: a web server on loopback that shows and steers the running mounts."""
