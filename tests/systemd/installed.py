"""The daemon as it is installed on a host, so that it can be upgraded under its workers."""

import sys
from pathlib import Path

import qvl
import qvl_tui

from tests.systemd.daemon import Daemon

_LAY = """
site=/opt/qvl/lib/python$1/site-packages
rm -rf "$site/qvl" "$site/qvl_tui"
mkdir -p "$site" /opt/qvl/bin
ln -sfn "$3" /opt/qvl/bin/python
printf 'home = %s\\ninclude-system-site-packages = false\\n' "${3%/*}" >/opt/qvl/pyvenv.cfg
echo "$4" >"$site/dependencies.pth"
cp -r "$5" "$6" "$site/"
find "$site" -name __pycache__ -exec rm -rf {} +
sed -i "s/^__version__ = .*/__version__ = \\"$2\\"/" "$site/qvl/__init__.py"
for name in qvl-supervisor qvlctl; do
  { echo '#!/opt/qvl/bin/python'; tail -n +2 "$7/$name"; } >/opt/qvl/bin/$name
  chmod 755 /opt/qvl/bin/$name
done
"""


class InstalledDaemon(Daemon):
    """The daemon as `pip install .` leaves it in /opt/qvl: a copy of this checkout's packages, of a version of its own.

    Their dependencies are those of the environment that the tests run in.
    """

    def _install(self) -> None:
        self.install("1.0.0")

    def install(self, version: str) -> None:
        """Take away the packages that are there and lay out this version's, as an upgrade does."""
        python = Path(sys.executable)
        packages = [Path(str(package.__file__)).parent for package in (qvl, qvl_tui)]
        site = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
        number = f"{sys.version_info.major}.{sys.version_info.minor}"
        self.box.exec("sh", "-ec", _LAY, "lay", number, version, python.resolve(), site, *packages, python.parent)
