"""The Python package jsonschema, made exact where it is not."""

import decimal

import jsonschema
from jsonschema import _utils


def exact_multiple(validator, step, value, schema):
    """The package divides binary floats: 0.3 is no multiple of 0.1 to it."""
    if validator.is_type(value, "number"):
        with decimal.localcontext(prec=700):
            if decimal.Decimal(repr(value)) % decimal.Decimal(repr(step)):
                yield jsonschema.ValidationError(f"{value} is not a multiple of {step}")


def really_unique(validator, unique, value, schema):
    """The package sorts [1], [true], [1.0] and compares neighbours, so that it misses the first and the last."""
    if unique and validator.is_type(value, "array"):
        if any(_utils.equal(a, b) for i, a in enumerate(value) for b in value[:i]):
            yield jsonschema.ValidationError("two items are equal")


EXACT = {"multipleOf": exact_multiple, "uniqueItems": really_unique}
DRAFT_2020 = jsonschema.validators.extend(jsonschema.Draft202012Validator, EXACT)
DRAFT_7 = jsonschema.validators.extend(jsonschema.Draft7Validator, EXACT)
# Its "uri" needs packages that are not here.
FORMATS = jsonschema.FormatChecker(formats=["date", "date-time", "uuid", "ipv4"])


@FORMATS.checks("email")
def is_email(value):
    """The package is content with an @ anywhere."""
    return not isinstance(value, str) or (value.count("@") == 1 and value[0] != "@" and value[-1] != "@")



def reference(schema, draft=DRAFT_2020):
    return draft(schema, format_checker=FORMATS)
