"""The executable."""

import gc


def main() -> None:
    # What is imported stays. To look for garbage in it, while it comes and when all ends, would
    # take as long as a small table does.
    gc.disable()
    from headwater_tap_postgres.tap import TapPostgres

    gc.freeze()
    gc.enable()
    TapPostgres.cli()
