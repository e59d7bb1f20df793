"""Watch: what was decided. Faces tell it once per decision; it counts, logs and remembers. It decides nothing.

Nothing here ever sees a credential: decisions hold names, places and reasons, never an offending value (RS-25, LOG-01).
"""

from sixfold.watch.access_log import AccessLog
from sixfold.watch.decisions import Decisions, Record
from sixfold.watch.metrics import Metrics
from sixfold.watch.watch import Watch

__all__ = ["AccessLog", "Decisions", "Metrics", "Record", "Watch"]
