"""A model's module that needs what is not installed."""

import a_module_that_is_not_installed  # type: ignore[import-not-found]  # noqa: F401


class X: ...
