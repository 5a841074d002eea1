"""The extension for VS Code as a `.vsix`: a zip with a manifest, made without VS Code or node.

The invariant: the same sources make the same bytes. Nothing is compressed, because what a
compressor writes depends on its version; the whole is smaller than a picture.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

_AT = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip can tell."""
_TYPES = {".json": "application/json", ".js": "application/javascript"}
_CODE = "Microsoft.VisualStudio.Code"


def vsix_bytes(sources: Path) -> bytes:
    """The `.vsix` of the extension in a directory. Raises OSError or ValueError."""
    package = json.loads((sources / "package.json").read_text("utf-8"))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, data in _members(sources, package):
            info = zipfile.ZipInfo(name, _AT)
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    return made.getvalue()


def _members(sources: Path, package: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    yield "extension.vsixmanifest", _manifest(package).encode()
    yield "[Content_Types].xml", _content_types().encode()
    for file in sorted(sources.iterdir()):
        if file.suffix in _TYPES:
            yield f"extension/{file.name}", file.read_bytes()


def _content_types() -> str:
    kinds = {**_TYPES, ".vsixmanifest": "text/xml"}
    defaults = "".join(
        f'<Default Extension="{suffix}" ContentType="{kind}"/>' for suffix, kind in kinds.items()
    )
    namespace = "http://schemas.openxmlformats.org/package/2006/content-types"
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<Types xmlns="{namespace}">{defaults}</Types>\n'
    )


def _manifest(package: dict[str, Any]) -> str:
    names = {name: quoteattr(str(package[name])) for name in ("name", "version", "publisher")}
    properties = {
        f"{_CODE}.Engine": package["engines"]["vscode"],
        f"{_CODE}.ExtensionDependencies": "",
        f"{_CODE}.ExtensionPack": "",
        f"{_CODE}.ExtensionKind": ",".join(package["extensionKind"]),
        f"{_CODE}.LocalizedLanguages": "",
    }
    listed = "\n".join(
        f"      <Property Id={quoteattr(name)} Value={quoteattr(value)}/>"
        for name, value in properties.items()
    )
    identity = (
        f'<Identity Language="en-US" Id={names["name"]} Version={names["version"]} '
        f"Publisher={names['publisher']}/>"
    )
    return f"""<?xml version="1.0" encoding="utf-8"?>
<PackageManifest Version="2.0.0" xmlns="http://schemas.microsoft.com/developer/vsx-schema/2011">
  <Metadata>
    {identity}
    <DisplayName>{escape(package["displayName"])}</DisplayName>
    <Description xml:space="preserve">{escape(package["description"])}</Description>
    <Categories>{escape(",".join(package["categories"]))}</Categories>
    <GalleryFlags>Public</GalleryFlags>
    <Properties>
{listed}
    </Properties>
  </Metadata>
  <Installation>
    <InstallationTarget Id="{_CODE}"/>
  </Installation>
  <Dependencies/>
  <Assets>
    <Asset Type="{_CODE}.Manifest" Path="extension/package.json" Addressable="true"/>
  </Assets>
</PackageManifest>
"""
