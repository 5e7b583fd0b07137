"""Make the packed schemas beside this file anew; needs npm.

    python pack.py

Shopify publishes its Admin schemas in the npm package @shopify/dev-mcp, under the licence beside
this file. What a query is checked against is kept; the prose is not.
"""

import gzip
import json
import lzma
import subprocess
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# An old version is in an old package only.
PACKAGES = {"1.4.1": ["2025-07", "2025-10"], "1.16.0": ["2026-01", "2026-04"]}
PROSE = {"description", "deprecationReason", "specifiedByURL", "specifiedByUrl"}


def without_prose(value):
    if isinstance(value, dict):
        return {key: without_prose(of) for key, of in value.items() if key not in PROSE}
    if isinstance(value, list):
        return [without_prose(of) for of in value]
    return value


def main() -> None:
    for package, versions in PACKAGES.items():
        with tempfile.TemporaryDirectory() as directory:
            command = ["npm", "pack", "--silent", f"@shopify/dev-mcp@{package}"]
            subprocess.run(command, cwd=directory, check=True)
            (archive,) = Path(directory).glob("*.tgz")
            with tarfile.open(archive) as files:
                (HERE / "LICENSE").write_bytes(files.extractfile("package/LICENSE").read())
                for version in versions:
                    name = f"package/dist/data/admin_{version}.json.gz"
                    introspection = json.loads(gzip.decompress(files.extractfile(name).read()))
                    kept = without_prose(introspection["data"])
                    text = json.dumps(kept, separators=(",", ":")).encode()
                    target = HERE / f"{version}.json.xz"
                    target.write_bytes(lzma.compress(text, preset=9 | lzma.PRESET_EXTREME))
                    print(f"{target.name} {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
