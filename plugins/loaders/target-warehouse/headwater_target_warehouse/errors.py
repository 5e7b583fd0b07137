"""What stops a load: each error is one line for the user."""


class LoadError(Exception):
    """The load cannot go on; the message names the cause and what to do."""


class ValueMisfit(LoadError):
    """A value that its column cannot hold exactly."""

    def __init__(self, stream: str, field: str, value: str, column_type: str) -> None:
        super().__init__(
            f"{stream}.{field}: {value} does not fit {column_type}; to admit it, give the field a "
            f"wider type in the extractor's `schema` extra, such as "
            f"{{{stream}: {{{field}: {{x-sql-datatype: text}}}}}}, and reload the stream"
        )
