"""What the commands of tariffs, ratecards and rates have in common: the forms of the panel, filled in from options."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import typer
from pydantic import ValidationError

from b2bua.account.field import Form, faults_of
from b2bua.account.tariff import texts_of
from b2bua.cli.context import CommandError, NotFound
from b2bua.cli.find import find_reseller
from rating.ledger import Connection

Model = TypeVar("Model", bound=Form)

OwnerOption = Annotated[
    str | None, typer.Option("--owner", metavar="CODE", help="The reseller whose it is; without: the operator's.")
]
FieldOption = Annotated[
    list[str] | None, typer.Option("--field", metavar="NAME=VALUE", help="A field of the panel's form; repeatable.")
]

_INFINITE: Final = ("infinity", "-infinity")


def filled(model: type[Model], values: Mapping[str, str | None]) -> Model:
    """Read a form.

    Raises:
        CommandError: what was given does not fit; every sentence of the form in one line.
    """
    try:
        return model.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise CommandError("; ".join(faults_of(error).values())) from None


def read_fields(model: type[Form], fields: list[str] | None) -> dict[str, str]:
    """Split `name=value`; a name that the form lacks is a fault of the command line."""
    values = {}
    for text in fields or ():
        name, separator, value = text.partition("=")
        if not separator or name.strip() not in model.model_fields:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE with a name of {', '.join(model.model_fields)}")
        values[name.strip()] = value.strip()
    return values


async def owner_of(connection: Connection, code: str | None) -> int | None:
    """The id of the reseller that was named; None: the operator."""
    return None if code is None else (await find_reseller(connection, code)).id


async def find_row(connection: Connection, query: str, what: str, *key: object) -> dict[str, Any]:
    """A row as JSON has it, and as texts of its form.

    Raises:
        NotFound: there is none.
    """
    text: str | None = await connection.fetchval(query, *key)
    if text is None:
        raise NotFound(f"no {what}")
    row: dict[str, Any] = json.loads(text)
    return row


def texts(row: Mapping[str, Any]) -> dict[str, str]:
    """The fields of a form from a row as JSON has it; no date is an empty one."""
    return texts_of({name: None if value in _INFINITE else value for name, value in row.items()})
