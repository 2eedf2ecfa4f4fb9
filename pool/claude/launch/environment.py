"""The environment of a run: an allow-list, one credential, and what the operator adds. Proxies of
the machine are passed on, but not for what is on the machine itself.

The CLI prefers an API key to an OAuth token wherever it finds one, and follows CLAUDE_CONFIG_DIR,
so whatever the pool itself was started with must not reach a run (G9).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pool.errors import ConfigError
from pool.proxies import sparing_loopback
from pool.subscriptions.spec import SubscriptionSpec

_INHERITED = frozenset(
    {
        *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
        *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS"),
    }
)
_RESERVED = frozenset(
    {
        *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CONFIG_DIR"),
        *("CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_REFRESH_TOKEN"),
        *("CLAUDE_CODE_OAUTH_TOKEN_FILE_DESCRIPTOR", "CLAUDE_CODE_API_KEY_FILE_DESCRIPTOR"),
    }
)
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def environment(
    spec: SubscriptionSpec,
    *,
    parent: Mapping[str, str],
    config_dir: Path,
    home: Path,
    extra: Mapping[str, str],
    max_retries: int = 1,
    is_root: bool,
) -> dict[str, str]:
    """The whole environment of a run on ``spec``; ``parent`` is the pool's own.

    ``max_retries`` bounds the CLI's own retries: its default of 10 takes three minutes, also to
    report a wrong API key. ConfigError where the credential's variable is missing or empty, or
    where ``extra`` sets what only the subscription may decide.
    """
    if smuggled := sorted(_RESERVED & extra.keys()):
        raise ConfigError(
            f"claude.env.{smuggled[0]}",
            "belongs to the subscription: name it in its credential or config_dir instead",
        )
    own = {
        "PATH": _DEFAULT_PATH,
        "LANG": "C.UTF-8",
        **{name: value for name, value in parent.items() if name in _INHERITED},
        "HOME": str(home),
        "CLAUDE_CONFIG_DIR": str(config_dir),
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": str(max_retries),
        "CLAUDE_CODE_STARTUP_FAILURE_RESULTS": "1",  # why it could not start, as a result
        **({"IS_SANDBOX": "1"} if is_root else {}),
        **extra,
        **_credential(spec, parent),
    }
    return {**own, **sparing_loopback(own)}


def _credential(spec: SubscriptionSpec, parent: Mapping[str, str]) -> dict[str, str]:
    credential = spec.credential
    if credential is None:
        return {}
    secret = parent.get(credential.environment_name, "").strip()
    if not secret:
        kind = "oauth_token_env" if credential.oauth_token_env else "api_key_env"
        raise ConfigError(
            f"subscriptions.{spec.id}.credential.{kind}",
            f"the environment variable {credential.environment_name} is not set, or empty: "
            "set it where the pool is started",
        )
    return {credential.cli_name: secret}
