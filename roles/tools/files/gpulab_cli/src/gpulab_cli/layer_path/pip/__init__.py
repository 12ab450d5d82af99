# SPDX-License-Identifier: GPL-3.0-or-later
"""pip of personal layers: the pip of the tools' environment, which also says what belongs to the lab.

Python finds this package on the path of a layer. All is the real pip's; only __main__ is this directory's.
"""

from pathlib import Path

_own = Path(__file__).parent
_real = _own.parents[2] / "pip"
__path__ = [str(_own), str(_real)]
# pip starts itself again by this path, to build packages.
__file__ = str(_real / "__init__.py")
exec(compile(Path(__file__).read_bytes(), __file__, "exec"))  # noqa: S102  # of root, like this file
