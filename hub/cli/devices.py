"""``hub devices``: the installed apps of a user; and all registrations, out of and into Redis.

List and remove ask a running hub. Export and import go to Redis itself: registrations live
there alone, and a backup must not depend on a hub.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from hub.cli.calling import KeyFlag, UrlFlag, ask
from hub.cli.output import WRONG_USAGE, CommandFailed, JsonFlag, failures_reported, remark, show
from hub.cli.sources import ConfigFlag, settings_from
from hub.delivery.inbox import is_device_id
from hub.delivery.model import DeviceRecord, ExportedDevice
from hub.engine import Devices
from hub.errors import HubError

devices_app = typer.Typer(help="Registered devices.", no_args_is_help=True)


@devices_app.command("list")
def list_devices(
    user: Annotated[str, typer.Argument(help="Whose devices.")],
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """List the devices of USER."""
    with failures_reported(as_json=as_json):
        result = ask(url, key, "device_list", {"user": user})
        lines = [
            f"{each['id']}  {each['provider']}:{each['app']}:{each['environment']}  "
            f"{_token(each['token_hash'])}  {each['state']}  acked {each['acked']}, owed {each['owed']}"
            for each in result["devices"]
        ]
        show("\n".join(lines) or "no devices", result, as_json=as_json)


@devices_app.command("remove")
def remove(
    user: Annotated[str, typer.Argument(help="Whose device.")],
    device: Annotated[str, typer.Argument(help="Its id.")],
    url: UrlFlag = None,
    key: KeyFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Forget a device of USER, with what it is owed."""
    with failures_reported(as_json=as_json):
        result = ask(url, key, "device_remove", {"user": user, "id": device})
        show(f"removed {device}", result, as_json=as_json)


@devices_app.command("export")
def export(
    file: Annotated[Path | None, typer.Argument(help="Where to; standard output if left out.")] = None,
    config: ConfigFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Write every registration, one JSON object a line. Provider tokens are in it: keep it secret."""
    with failures_reported(as_json=as_json):
        count = asyncio.run(_export(config, file))
        if file is not None or as_json:
            said = {"exported": count}
            if file is None:
                remark(json.dumps(said))
            else:
                show(f"{count} devices", said, as_json=as_json)


@devices_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What `hub devices export` wrote; - for standard input.")],
    config: ConfigFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Register every device of FILE. Nothing older is pushed to them."""
    with failures_reported(as_json=as_json):
        found = _read(file)
        asyncio.run(_import(config, found))
        show(f"{len(found)} devices", {"imported": len(found)}, as_json=as_json)


async def _export(config: Path | None, file: Path | None) -> int:
    count = 0
    async with _registry(config) as devices:
        out = sys.stdout if file is None else _secret_file(file)
        try:
            async for each in devices.export():
                out.write(json.dumps(msgspec.to_builtins(each), ensure_ascii=False) + "\n")
                count += 1
        finally:
            if file is not None:
                out.close()
    return count


def _token(token_hash: str) -> str:
    return f"token {token_hash}…" if token_hash else "no token"


def _secret_file(file: Path) -> Any:
    try:
        file.touch(mode=0o600, exist_ok=True)
        file.chmod(0o600)
        return file.open("w", encoding="utf-8")
    except OSError as error:
        raise CommandFailed(f"cannot write {file}: {error.strerror}", exit_code=WRONG_USAGE) from None


async def _import(config: Path | None, found: list[ExportedDevice]) -> None:
    async with _registry(config) as devices:
        for each in found:
            await devices.register(each.user, each.device, each.record)


def _read(file: Path) -> list[ExportedDevice]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"cannot read {file}: {error}", exit_code=WRONG_USAGE) from None
    # All lines are understood before the first device is touched.
    return [_parse(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _parse(number: int, line: str) -> ExportedDevice:
    try:
        fields = json.loads(line)
        record = DeviceRecord(**fields["record"])
        user, device = fields["user"], fields["device"]
        texts = [user, device, *msgspec.structs.asdict(record).values()]
        if not all(isinstance(text, str) for text in texts) or not user or not is_device_id(device):
            raise ValueError
        return ExportedDevice(user, device, record, int(fields.get("token_updated_ms", 0)))
    except (ValueError, TypeError, KeyError):
        # Not quoted: the line may hold a token.
        raise CommandFailed(
            f"line {number} is no device as `hub devices export` writes it; nothing was imported",
            exit_code=WRONG_USAGE,
        ) from None


@asynccontextmanager
async def _registry(config: Path | None) -> AsyncIterator[Devices]:
    from hub.engines import open_engine

    loaded = settings_from(config)
    settings = loaded.settings
    if settings.chosen_engine == "memory":
        raise CommandFailed(
            "registrations of the memory engine live inside its hub: set HUB_REDIS__URL",
            exit_code=WRONG_USAGE,
        )
    try:
        async with open_engine(settings, loaded) as engine:
            yield engine.devices
    except HubError as error:
        raise CommandFailed(f"Redis: {error.detail or error.error.message}") from None
