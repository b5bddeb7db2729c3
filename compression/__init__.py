"""Compression of transformers: methods, allocation, accounting, measurement.

Importing this package is cheap and pulls in no third-party library: on Python 3.14 the standard
library owns a package of the same name (``bz2``, ``lzma``, ``gzip`` and ``zipfile`` import from
it), so this module may be imported very early. Extending ``__path__`` keeps submodules of any
other ``compression`` package on ``sys.path`` reachable.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
__version__ = "0.1.0"
