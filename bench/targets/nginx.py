"""nginx, plain forwarding: the measure for all others."""

from __future__ import annotations

import os

from bench import layout
from bench.targets import GET, IDLE, POST, TLS, VARIED, Launch, Setting, Target

CONFIG = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log stderr error;
{user}
events {{ worker_connections 19000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    tcp_nodelay on;
    upstream api {{
        server 127.0.0.1:{upstream};
        keepalive 64;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{tls_port} ssl;
        ssl_certificate {credentials.certificate};
        ssl_certificate_key {credentials.private_key};
        ssl_protocols TLSv1.3;
        location / {{
            proxy_pass http://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}
}}
"""


def missing() -> str | None:
    return None if layout.program("nginx") else "nginx is not installed (Debian package nginx-light)"


def launch(setting: Setting) -> Launch:
    config = setting.folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(CONFIG.format(user=user, **vars(setting)))
    return Launch([str(layout.program("nginx")), "-c", str(config), "-p", str(setting.folder), "-e", "stderr"])


TARGETS = (
    Target(
        name="nginx",
        does="plain forwarding",
        scenarios=frozenset({GET, VARIED, POST, TLS, IDLE}),
        layers=(),
        missing=missing,
        launch=launch,
    ),
)
