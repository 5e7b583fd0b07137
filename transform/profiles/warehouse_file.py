"""Waits until dbt can open the warehouse file, or fails in one line. Loaded by profiles.yml.

dbt-duckdb's own `retries` do not serve: dbt comes back to a connection that failed half a dozen
times, each waits anew, and the end is a traceback.
"""

import time
from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError


class Plugin(BasePlugin):
    def initialize(self, plugin_config: dict[str, Any]) -> None:
        self._lock_timeout = float(plugin_config["lock_timeout_seconds"])
        # Made once a run: however often dbt comes back, the bound is one.
        self._deadline = time.monotonic() + self._lock_timeout

    def update_connection_config(self, creds: Any, config: dict[str, Any]) -> None:
        """Return when the file can be opened; called just before dbt opens it.

        Raises:
            DbtRuntimeError: it cannot be opened, or another process held it beyond the timeout, in
                seconds.
        """
        while True:
            try:
                return duckdb.connect(creds.path, config=config).close()
            except duckdb.Error as error:
                reason = str(error).splitlines()[0]
                _, held, holder = reason.partition("lock is held in ")
                if not held:
                    raise DbtRuntimeError(
                        f"the warehouse {creds.path} cannot be opened: {reason}"
                    ) from None
                if time.monotonic() > self._deadline:
                    raise DbtRuntimeError(
                        f"the warehouse {creds.path} is held by {holder.split('. ')[0]} since more "
                        f"than {self._lock_timeout:g} s; close it there and run again"
                    ) from None
            time.sleep(0.2)
