"""Face 2: Sixfold in the API's own process, as one pure ASGI layer.

`asgi` serves any application, `starlette` and `fastapi` read its route table as well. Framing, slow clients and TLS
are the server's job here (H1-*, H2-*, SLOW-*, TLS-*); everything else is judged as the proxy judges it.
"""
