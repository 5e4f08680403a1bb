"""Where settings come from, which source wins, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from config import Problem, Settings, SettingsError, load_settings, profile_file, read_settings

SECRET = "a-secret-that-is-long-enough-for-any-hmac"
SERVABLE = {"HUB_AUTH__SECRET": SECRET}


def write(folder: Path, text: str) -> Path:
    """A settings file with ``text``."""
    file = folder / "hub.toml"
    file.write_text(text, encoding="utf-8")
    return file


def problems_of(
    file: Path | None = None, env: dict[str, str] | None = None, *, for_serving: bool = False
) -> list[Problem]:
    """What is wrong with these sources."""
    with pytest.raises(SettingsError) as caught:
        load_settings(file, env, for_serving=for_serving)
    return caught.value.problems


def test_defaults_stand_where_nothing_is_set() -> None:
    """Without any source the settings are the defaults."""
    assert load_settings(for_serving=False) == Settings()


def test_stronger_sources_win_key_by_key(tmp_path: Path) -> None:
    """Flags beat the environment, which beats the file, which beats a profile; the rest shines through."""
    base = tmp_path / "base.toml"
    base.write_text('[http]\nhost = "127.0.0.9"\nport = 1\n[log]\nlevel = "debug"\n[ping]\ninterval_s = 50\n')
    file = write(tmp_path, "[http]\nport = 2\n[limits]\nmax_channels = 2\n[ping]\ninterval_s = 40\n")
    env = SERVABLE | {"HUB_HTTP__PORT": "3", "HUB_LIMITS__MAX_CHANNELS": "3"}
    settings = load_settings(file, env, {"http.port": 4}, base=[base])
    assert (settings.http.port, settings.limits.max_channels, settings.ping.interval_s) == (4, 3, 40)
    assert (settings.http.host, settings.log.level) == ("127.0.0.9", "debug")


def test_sources_of_values_are_known(tmp_path: Path) -> None:
    """Each value can be traced to the file or variable that decided it."""
    file = write(tmp_path, "[http]\nport = 2\n[limits]\nmax_channels = 2\n")
    loaded = read_settings(file, SERVABLE | {"HUB_HTTP__PORT": "3"}, {"http.host": "localhost"})
    assert loaded.source_of(("http", "port")) == "HUB_HTTP__PORT"
    assert loaded.source_of(("limits", "max_channels")) == str(file)
    assert loaded.source_of(("http", "host")) == "command line"
    assert loaded.source_of(("ping", "interval_s")) == "default"


def test_file_can_be_named_by_the_environment(tmp_path: Path) -> None:
    """HUB_CONFIG is the same as the flag."""
    file = write(tmp_path, "[http]\nport = 7\n")
    assert load_settings(env={"HUB_CONFIG": str(file)}, for_serving=False).http.port == 7


def test_platform_variables_stand_in(tmp_path: Path) -> None:
    """PORT and REDIS_URL count where ours are not set, also under a profile."""
    env = {"PORT": "5000", "REDIS_URL": "redis://:pw@cache/0"}
    settings = load_settings(env=env, base=[profile_file("conformance")], for_serving=False)
    assert settings.http.port == 5000
    assert settings.redis.url is not None
    assert settings.chosen_engine == "memory"
    assert load_settings(env=env, for_serving=False).chosen_engine == "redis"
    file = write(tmp_path, "[http]\nport = 7\n")
    assert load_settings(file, env, for_serving=False).http.port == 7


def test_variables_carry_lists_and_tables() -> None:
    """Lists of tables are JSON; plain lists are JSON or have commas."""
    settings = load_settings(
        env=SERVABLE
        | {
            "HUB_API__KEYS": '[{"name": "backend", "key": "k", "scopes": ["publish"]}]',
            "HUB_CHANNELS__NAMESPACES": '[{"name": "chat", "history_size": 5, "history_ttl": "5m"}]',
            "HUB_CHANNELS__WITHOUT_NAMESPACE__PRESENCE": "true",
            "HUB_AUTH__AUDIENCE": "phones, web",
            "HUB_HTTP__ALLOWED_ORIGINS": '["https://a.example", "https://b.example"]',
            "HUB_HTTP__TRUSTED_PROXIES": "10.0.0.0/8,::1",
        }
    )
    assert settings.api.keys[0].scopes == ("publish",)
    assert settings.channels.namespaces[0].history_ttl == 300
    assert settings.channels.without_namespace.presence
    assert settings.auth.audience == ("phones", "web")
    assert settings.http.allowed_origins == ("https://a.example", "https://b.example")
    assert [str(network) for network in settings.http.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


def test_variable_of_one_setting_wins_over_that_of_its_section() -> None:
    """A section given as JSON leaves room for exact variables, at any depth."""
    env = {
        "HUB_AUTH": '{"issuer": "a", "required_claim": {"name": "t", "value": "x"}}',
        "HUB_AUTH__REQUIRED_CLAIM__VALUE": "y",
        "HUB_AUTH__SECRET": SECRET,
    }
    auth = load_settings(env=env).auth
    assert (auth.issuer, auth.required_claim.name, auth.required_claim.value) == ("a", "t", "y")


def test_empty_variables_count_as_not_set() -> None:
    """A variable that a compose file passes on empty changes nothing."""
    assert load_settings(env=SERVABLE | {"HUB_HTTP__PORT": ""}).http.port == 8000


def test_every_mistake_is_named_with_its_source(tmp_path: Path) -> None:
    """Unknown keys, wrong types, broken JSON and contradictions come out together."""
    file = write(
        tmp_path,
        """
        unheard = 1
        [http]
        port = "many"
        prot = 1
        [auth]
        secret = ""
        [[channels.namespaces]]
        name = "inbox"
        [[channels.namespaces]]
        name = "chat"
        history_size = 5
        presense = true
        """,
    )
    env = {
        "HUB_LIMITS__MAX_CHANNELS": "0",
        "HUB_HTTP__HOTS": "x",
        "HUB_API__KEYS": "[{",
        "HUB_INSECURE__CLIENT": "maybe",
        "HUB_HTTP__TRUSTED_PROXIES": "10.0.0.0/8, nowhere",
    }
    found = {(problem.source, problem.key) for problem in problems_of(file, env)}
    name = str(file)
    assert found == {
        (name, "unheard"),
        (name, "http.port"),
        (name, "http.prot"),
        (name, "auth.secret"),
        (name, "channels.namespaces[0].name"),
        (name, "channels.namespaces[1].presense"),
        (name, "channels.namespaces[1].history_size"),
        ("HUB_LIMITS__MAX_CHANNELS", "limits.max_channels"),
        ("HUB_HTTP__HOTS", ""),
        ("HUB_API__KEYS", "api.keys"),
        ("HUB_INSECURE__CLIENT", "insecure.client"),
        ("HUB_HTTP__TRUSTED_PROXIES", "http.trusted_proxies[1]"),
    }


def test_a_weaker_value_does_not_hide_behind_a_wrong_one(tmp_path: Path) -> None:
    """Setting a mistake aside does not bring the weaker source's mistakes about the same key to light."""
    file = write(tmp_path, '[http]\nport = "many"\n')
    assert [problem.source for problem in problems_of(file, {"HUB_HTTP__PORT": "none"})] == ["HUB_HTTP__PORT"]


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("HUB_HTTP__PROT", "did you mean HUB_HTTP__PORT?"),
        ("HUB_PORT", "did you mean HUB_HTTP__PORT?"),
        ("HUB_API__KEYS__0__KEY", "give the whole list as JSON in HUB_API__KEYS"),
    ],
)
def test_unknown_variables_get_advice(variable: str, advice: str) -> None:
    """A slip in a variable's name is answered with the name that was probably meant."""
    (problem,) = problems_of(env={variable: "1"})
    assert problem.source == variable
    assert advice in problem.message


def test_unknown_keys_get_advice(tmp_path: Path) -> None:
    """A slip in a file is answered with the key that was probably meant."""
    (problem,) = problems_of(write(tmp_path, "[auth]\nsecrets = 'x'\n"))
    assert problem.message == 'is not a setting; did you mean "secret"?'


@pytest.mark.parametrize("content", [None, b"[http\n", b"\xff\xfe"])
def test_unusable_file_is_a_problem(tmp_path: Path, content: bytes | None) -> None:
    """A file that is missing, no TOML or no UTF-8 is named like any other mistake."""
    file = tmp_path / "hub.toml"
    if content is not None:
        file.write_bytes(content)
    (problem,) = problems_of(file, for_serving=True)
    assert problem.source == str(file)


def test_wrong_values_are_never_quoted(tmp_path: Path) -> None:
    """A mistake may be a secret in the wrong place: what was written is not repeated."""
    file = write(tmp_path, '[auth]\nsecret = ["hunter2"]\nleeway_s = "hunter2"\nkeys = "hunter2"\n')
    env = {"HUB_API__KEYS": '[{"key": "hunter2"', "HUB_REDIS": "hunter2", "HUB_PING__INTERVAL_S": "hunter2"}
    with pytest.raises(SettingsError) as caught:
        load_settings(file, env)
    assert len(caught.value.problems) >= 5
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(caught.value.problems)


def test_secrets_do_not_print() -> None:
    """Neither the text nor the repr of settings gives a secret away."""
    env = {
        "HUB_AUTH__SECRET": SECRET,
        "HUB_API__KEYS": '[{"name": "a", "key": "sesame-open", "scopes": ["admin"]}]',
        "HUB_REDIS__URL": "redis://:sesame-open@cache/0",
        "HUB_ENGINE": "memory",
    }
    settings = load_settings(env=env)
    for text in (str(settings), repr(settings), settings.model_dump_json()):
        assert SECRET not in text
        assert "sesame-open" not in text


def test_settings_are_not_read_from_the_process_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the mapping that is given counts, so that tests and embedders are not surprised."""
    monkeypatch.setenv("HUB_HTTP__PORT", "1")
    monkeypatch.setenv("HTTP", '{"port": 2}')
    assert Settings().http.port == 8000
    assert load_settings(for_serving=False).http.port == 8000


def test_unknown_profile_names_those_there_are() -> None:
    """The answer to a wrong profile is the list of right ones."""
    with pytest.raises(SettingsError, match="conformance, development"):
        profile_file("../secrets")
