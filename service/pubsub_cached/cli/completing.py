"""Completion in the shell: the scripts, and the values that only the running daemon knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .output import clean

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from .client import Client

PROGRAM = "pubsub-cachectl"
SHELLS = ("bash", "zsh", "fish")

# As click's, but that quotes nothing, and what follows a : or @ is another word to it.
BASH = r"""_pubsub_cachectl_completion() {
    local line=${COMP_LINE:0:COMP_POINT} answer before length type value
    before=${line%"$2"}
    [[ $line != *[[:space:]] ]] || line+="''"
    answer=$(COMP_WORDS=$line COMP_CWORD=-1 _PUBSUB_CACHECTL_COMPLETE=bash_complete "$1")
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                # A node's name may be what a shell would run.
                printf -v value %q "$value"
                # Bash replaces only what follows the last : or @, and nodes and JIDs have these.
                for ((length = ${#value}; length; length--)); do
                    [[ $before != *"${value:0:length}" ]] || break
                done
                COMPREPLY+=("${value:length}")
                ;;
        esac
    done <<< "$answer"
}

complete -o nosort -F _pubsub_cachectl_completion pubsub-cachectl
"""

# As click's, but that cuts values and descriptions at a comma.
FISH = r"""function _pubsub_cachectl_completion
    set -l given COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t)
    for answer in (env _PUBSUB_CACHECTL_COMPLETE=fish_complete $given pubsub-cachectl)
        set -l found (string split --max 1 , $answer)
        switch $found[1]
            case dir
                __fish_complete_directories $found[2]
            case file
                __fish_complete_path $found[2]
            case plain
                printf '%s\n' $found[2]
        end
    end
end

complete --no-files --command pubsub-cachectl --arguments "(_pubsub_cachectl_completion)"
"""

# Whoever presses Tab does not wait longer.
SECONDS = 1.0


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: pubsub-cachectl completion bash > ~/.local/share/bash-completion/completions/pubsub-cachectl
    zsh:  pubsub-cachectl completion zsh > ~/.zfunc/_pubsub-cachectl     (a directory of $fpath)
    fish: pubsub-cachectl completion fish > ~/.config/fish/completions/pubsub-cachectl.fish
    """
    from click.shell_completion import ZshComplete

    zsh = ZshComplete(context.find_root().command, {}, PROGRAM, "_PUBSUB_CACHECTL_COMPLETE")
    click.echo({"bash": BASH, "zsh": zsh.source(), "fish": FISH}[shell], nl=False)


def accounts(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Accounts of the running daemon."""

    async def ask(client: Client) -> list[str]:
        paths = (await client.call("Manager", "ListAccounts", seconds=SECONDS))[0]
        return [await client.get("Account", "Jid", path) for path in paths]

    return _items(ask, begun)


def services(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Services of nodes that the cache knows."""

    async def ask(client: Client) -> list[str]:
        return [record["service"] for record in await _nodes(client, context)]

    return _items(ask, begun)


def nodes(context: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Nodes of the service named before, as far as the cache knows them."""
    service = str(context.params.get("service") or "")

    async def ask(client: Client) -> list[str]:
        return [record["node"] for record in await _nodes(client, context, ("s", service or None))]

    return _items(ask, begun)


async def _nodes(
    client: Client, context: click.Context, service: tuple[str, Any] = ("s", None)
) -> list[dict[str, Any]]:
    account = context.params.get("account") or None
    given = {"account": ("s", account), "service": service, "limit": ("u", 500)}
    found: list[dict[str, Any]] = (await client.call("Cache", "ListNodes", "a{sv}", given, seconds=SECONDS))[0]
    return found


def _items(ask: Any, begun: str) -> list[CompletionItem]:
    """What the daemon says, if it runs; Tab neither starts it nor shows an error."""
    from click.shell_completion import CompletionItem

    from .running import run

    async def running(client: Client) -> list[str]:
        found: list[str] = await ask(client) if await client.running() else []
        return found

    try:
        found = run(running)
    except (click.ClickException, KeyboardInterrupt):
        return []
    # The shell is given a value a line, and fish its description behind a tab.
    return [
        CompletionItem(value)
        for value in dict.fromkeys(found)
        if value.startswith(begun) and clean(value) == value and not set("\t\n") & set(value)
    ]
