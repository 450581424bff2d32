"""`python -m tests.harness.wsgidav_server FOLDER PORT`: serve a folder with wsgidav until killed."""

from __future__ import annotations

import sys

from cheroot import wsgi
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp


def main(folder: str, port: int) -> None:
    """Serve."""
    app = WsgiDAVApp(
        {
            "host": "127.0.0.1",
            "port": port,
            "provider_mapping": {"/": FilesystemProvider(folder)},
            "simple_dc": {"user_mapping": {"*": True}},
            "lock_storage": True,
            "property_manager": True,
            "verbose": 1,
        }
    )
    wsgi.Server(bind_addr=("127.0.0.1", port), wsgi_app=app, numthreads=20).start()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
