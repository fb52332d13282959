"""The base of all sections: strict, frozen models whose fields carry everything known about an option.

A field carries its type and bounds, its default, its description, and the marks below. Readers of these facts
(the YAML reader, the reload, the published hash) ask ``options`` instead of keeping lists of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator
from pydantic.fields import FieldInfo

from hivewatch.config.addresses import checked_public


class Contradiction(NamedTuple):
    """Options that exclude each other: their dotted names below the section, and what to write instead."""

    names: tuple[str, ...]
    sentence: str


FIELDS_ONLY = "fields only"
"""Pydantic's context for a validation that does not look for contradictions: the reader does so itself."""


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, and values never change after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    manual: ClassVar[str] = ""
    """The commented file that documents these options, if they are a whole file."""

    def contradictions(self) -> Iterator[Contradiction]:
        """Yield every contradiction between options of this section, those of its sections excluded."""
        yield from ()

    @model_validator(mode="after")
    def _is_consistent(self, info: ValidationInfo) -> Self:
        if info.context != FIELDS_ONLY:
            for contradiction in self.contradictions():
                raise ValueError(contradiction.sentence)
        return self


AnySection = TypeVar("AnySection", bound=Section)


class Mark(Enum):
    """A fact about an option or a whole section, as ``Annotated`` metadata of its field."""

    RESTART = "takes effect at the next start only"
    SECRET = "may contain a password: never logged, published or repeated in a message"  # noqa: S105
    PATH = "a path; a relative one starts at the folder of the YAML file"
    FILE = "the path of a file that must exist; a relative one starts at the folder of the YAML file"


RESTART, SECRET, PATH, FILE = Mark.RESTART, Mark.SECRET, Mark.PATH, Mark.FILE

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=86_400)]
TimeLimit = Annotated[float, Field(gt=0, le=86_400)]
Days = Annotated[float, Field(gt=0, le=36_500)]
Megabytes = Annotated[float, Field(gt=0, le=1e8)]
Polygon = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3)]
TopicPrefix = Annotated[
    str,
    Field(pattern=r"^[^#+/\x00-\x1f]+(/[^#+/\x00-\x1f]+)*$", max_length=200),
    AfterValidator(checked_public),
]
OptionalFile = Annotated[Path | None, FILE]


class Option(NamedTuple):
    """One option: its keys from the top of the file down, its field, and the marks that apply to it."""

    key: tuple[str, ...]
    field: FieldInfo
    marks: frozenset[Mark]

    @property
    def name(self) -> str:
        """The dotted name, as in messages: ``camera.video.source``."""
        return ".".join(self.key)


def options(model: type[Section]) -> Iterator[Option]:
    """Yield every option of ``model``, in order; a mark on a section applies to all options in it."""
    return _options(model, (), frozenset())


def section_in(field: FieldInfo) -> type[Section] | None:
    """Return the section that ``field`` holds, None if it holds a value."""
    annotation = field.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def option_names(model: type[Section], key: Sequence[str | int]) -> list[str]:
    """Return the names in the section at ``key`` of ``model``, [] if there is no section."""
    for part in key:
        field = model.model_fields.get(str(part))
        section = None if field is None else section_in(field)
        if section is None:
            return []
        model = section
    return list(model.model_fields)


def marks_of(field: FieldInfo) -> frozenset[Mark]:
    """Return the marks on ``field`` itself."""
    return frozenset(item for item in field.metadata if isinstance(item, Mark))


def _options(model: type[Section], key: tuple[str, ...], inherited: frozenset[Mark]) -> Iterator[Option]:
    for name, field in model.model_fields.items():
        marks = inherited | marks_of(field)
        section = section_in(field)
        if section is None:
            yield Option((*key, name), field, marks)
        else:
            yield from _options(section, (*key, name), marks)
