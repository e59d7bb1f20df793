"""Sixfold: one policy, six layers, for an HTTP API.

The names most people need live in the faces: `sixfold.middleware.fastapi`, and on the command line `sixfold protect`.
"""

__version__ = "0.1.0"
