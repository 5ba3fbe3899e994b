"""Fields of an iXML chunk (iXML specification 3.01, ixml.info): project, scene, take, note, names of tracks."""

from xml.parsers import expat

from .field_text import FieldReader, decoded, one_line

MOST_BYTES = 1 << 20
MOST_ELEMENTS = 20_000
MOST_DEPTH = 20
MOST_TRACKS = 128

# By path below the root, in lower case: the field's name. Of two paths to one field the first counts.
_FIELDS = {
    "project": "project",
    "scene": "scene",
    "take": "take",
    "tape": "tape",
    "note": "note",
    "circled": "circled",
    "location/location_name": "location",
    "location/location_gps": "location_gps",
    "ubits": "ubits",
}
# What libraries of sound effects write about themselves, below <ASWG> (game audio's standard) or <USER>.
_LIBRARY_FIELDS = {
    "category": "category",
    "subcategory": "subcategory",
    "usercategory": "user_category",
    "catid": "catid",
    "fxname": "fx_name",
    "creatorid": "creator_id",
    "sourceid": "source_id",
    "library": "library",
    "keywords": "keywords",
    "notes": "notes",
    "description": "description",
    "designer": "designer",
    "manufacturer": "manufacturer",
    "microphone": "microphone",
    "mictype": "microphone",
    "recmedium": "recording_medium",
    "copyright": "copyright",
    "url": "url",
}
_FIELDS |= {f"{group}/{name}": field for group in ("aswg", "user") for name, field in _LIBRARY_FIELDS.items()}
_TAGGED = ("category", "subcategory", "user_category", "catid")
_TRACK_NAME = "track_list/track/name"


class _Refused(Exception):
    """Raised for content that an untrusted document must not have."""


def add_ixml(content: bytes, found: FieldReader) -> None:
    """
    Adds the fields of an iXML chunk; its categories become tags too.

    Document types, and with them entities of any kind, are refused: iXML has none, and they make small texts huge
    or name other files. Of a document that breaks off, what stands before counts.

    Args:
        content: content of the chunk; zeros after the text are ignored.
        found: receives fields, tags and faults.
    """
    content = content.rstrip(b"\0 \r\n\t")
    if not content:
        return
    document = _Document()
    try:
        document.read(content)
    except _Refused as error:
        found.fault(f"its iXML chunk is refused: it {error}")
        return
    except (expat.ExpatError, LookupError, ValueError) as error:
        found.fault(f"its iXML chunk is damaged ({error})")
    for path, name in _FIELDS.items():
        found.add(name, document.texts.get(path, ""))
    names = [name for text in document.tracks if (name := one_line(text))]
    found.add("track_names", ", ".join(names))
    for name in _TAGGED:
        found.tag(found.fields.get(name, ""))


class _Document:
    """The texts of a document by path, taken while it is parsed: no tree is built."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.tracks: list[str] = []
        self._path: list[str] = []
        self._text: list[str] = []
        self._elements = 0

    def read(self, content: bytes) -> None:
        if b"encoding" not in content[:200] and not content.startswith((b"\xff\xfe", b"\xfe\xff")):
            # Without a declared encoding XML is UTF-8; some recorders write what their system has.
            content = decoded(content).encode()
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.Parse(content, True)

    def _refuse(self, *_: object) -> None:
        raise _Refused("declares a document type or entities")

    def _start(self, name: str, _: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > MOST_ELEMENTS:
            raise _Refused(f"holds more than {MOST_ELEMENTS:,} elements")
        if len(self._path) > MOST_DEPTH:
            raise _Refused(f"nests elements more than {MOST_DEPTH} deep")
        self._path.append(name.lower())
        self._text.clear()

    def _end(self, _: str) -> None:
        path, text = "/".join(self._path[1:]), "".join(self._text)
        self._path.pop()
        self._text.clear()
        if path == _TRACK_NAME and len(self.tracks) < MOST_TRACKS:
            self.tracks.append(text)
        elif path in _FIELDS and text.strip():
            self.texts.setdefault(path, text)


__all__ = ["MOST_BYTES", "add_ixml"]
