"""convrec: an LLM-based conversational recommender agent.

Only light names are exported here; the rooms (``convrec.agent``, ``convrec.tools``, ...) are imported by name.
"""

from convrec.core.version import VERSION as __version__

__all__ = ["__version__"]
