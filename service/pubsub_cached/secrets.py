"""Where an account's password comes from: its file, its command, or what ``SetPassword`` stored.

All of it may block, so callers run it in an executor; ``Secrets.close`` ends every wait at once.
No secret is ever in a message, in a log line or among a program's arguments.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Literal, NoReturn, TypeVar

import msgspec

from . import config, paths, secret_service
from .errors import AuthenticationFailed, DatabaseError, StorageFull
from .secret_service import Unusable

log = logging.getLogger(__name__)

# Longer than a person needs to type a passphrase into the prompt that a command may show.
COMMAND_TIMEOUT = 120.0
SERVICE_TIMEOUT = secret_service.PROMPT_TIMEOUT + 30.0
LONGEST_FILE = 65536

T = TypeVar("T")


class Secrets:
    """The passwords of all accounts; safe to use from any thread.

    file: where secrets are kept when no Secret Service runs. command_timeout: seconds a password-command may take.
    """

    def __init__(self, file: Path | None = None, *, command_timeout: float = COMMAND_TIMEOUT) -> None:
        self._file = SecretsFile(file or paths.secrets_file())
        self._command_timeout = command_timeout
        self._lock = Lock()
        self._closed = False
        self._ends: set[Callable[[], None]] = set()

    def source(self, account: config.Account | str) -> Callable[[], str]:
        """What gives the password of an account of the configuration, or of a JID added over the bus.

        Calling it blocks; it raises AuthenticationFailed with a sentence.
        """
        if isinstance(account, str):
            return lambda: self._stored(account)
        if account.password_file:
            return lambda: read_file(account.jid, Path(account.password_file))
        if account.password_command:
            return lambda: self._run(account.jid, account.password_command)
        return lambda: self._stored(account.jid)

    def store(self, jid: str, secret: str) -> Literal["secret-service", "file"]:
        """Keep a secret in place of an older one; says where. Raises StorageFull, DatabaseError."""
        try:
            self._ask(lambda: secret_service.store(jid, secret))
        except Unusable as error:
            log.info("The password of %s is kept in %s: %s", jid, self._file.path, error)
            self._file.put(jid, secret)
            return "file"
        self._file.put(jid, None)
        return "secret-service"

    def lookup(self, jid: str) -> str | None:
        """The stored secret, or None.

        Raises DatabaseError when the file can't be used, AuthenticationFailed when the keyring stays locked or refuses.
        """
        # The file first: an entry there is newer than one in the service, and asks nobody for a passphrase.
        secret = self._file.get(jid)
        if secret is not None:
            return secret
        try:
            return self._ask(lambda: secret_service.lookup(jid))
        except secret_service.Absent as error:
            log.debug("No stored password of %s is looked for in the Secret Service: %s", jid, error)
            return None
        except Unusable as error:
            raise AuthenticationFailed(f"The password of {jid} can't be read: {error}.") from None

    def remove(self, jid: str) -> bool:
        """Forget the secret wherever it is; whether there was one. Raises StorageFull, DatabaseError."""
        removed = self._file.put(jid, None)
        try:
            return self._ask(lambda: secret_service.remove(jid)) or removed
        except secret_service.Locked as error:
            log.warning("The stored password of %s stays in the Secret Service: %s", jid, error)
        except Unusable as error:
            log.debug("No stored password of %s is looked for in the Secret Service: %s", jid, error)
        return removed

    def close(self) -> None:
        """End every wait under way, and every later one as soon as it begins; commands are killed."""
        with self._lock:
            self._closed = True
            ends = list(self._ends)
        for end in ends:
            end()

    def _stored(self, jid: str) -> str:
        try:
            secret = self.lookup(jid)
        except DatabaseError as error:
            raise AuthenticationFailed(error.message) from None
        if secret is None:
            raise AuthenticationFailed(
                f"No password of {jid} is stored; give it with 'pubsub-cachectl account password {jid}'."
            )
        return secret

    def _ask(self, work: Callable[[], T]) -> T:
        """Do work of the Secret Service in a thread that can be left behind, for a keyring may never answer."""
        answers: SimpleQueue[Callable[[], T]] = SimpleQueue()

        def run() -> None:
            try:
                result = work()
            except Exception as error:
                answers.put(partial(_fail, error))
            else:
                answers.put(lambda: result)

        with self._until_closed(lambda: answers.put(partial(_fail, Unusable("the daemon stops")))):
            Thread(target=run, name="secret-service", daemon=True).start()
            try:
                answer = answers.get(timeout=SERVICE_TIMEOUT)
            except Empty:
                raise secret_service.Locked("the Secret Service does not answer") from None
        return answer()

    def _run(self, jid: str, command: tuple[str, ...]) -> str:
        """The first line of what a program writes; its error output is dropped, as it may name the secret."""
        what = f"The password-command of {jid} ({command[0]})"
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, process_group=0
            )
        except OSError as error:
            raise AuthenticationFailed(f"{what} can't be started: {error.strerror}.") from None
        with process, self._until_closed(partial(_kill, process)):
            try:
                output, _ = process.communicate(timeout=self._command_timeout)
            except subprocess.TimeoutExpired:
                _kill(process)
                raise AuthenticationFailed(f"{what} did not end within {self._command_timeout:g} s.") from None
        if process.returncode:
            raise AuthenticationFailed(f"{what} ended with status {process.returncode}; run it by hand to see why.")
        return _first_line(what, output)

    @contextmanager
    def _until_closed(self, end: Callable[[], None]) -> Iterator[None]:
        """Within it, ``close`` calls ``end``; it may do so more than once."""
        with self._lock:
            self._ends.add(end)
            closed = self._closed
        try:
            if closed:
                end()
            yield
        finally:
            with self._lock:
                self._ends.discard(end)


class SecretsFile:
    """A JSON object from JID to secret in a file of mode 0600, always replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()

    def get(self, jid: str) -> str | None:
        """The secret, or None. Raises DatabaseError when the file can't be used."""
        with self._lock:
            return self._read().get(jid)

    def put(self, jid: str, secret: str | None) -> bool:
        """Set the secret, or remove it with None; whether there was one. Raises StorageFull, DatabaseError."""
        with self._lock:
            secrets = self._read()
            old = secrets.pop(jid, None)
            if secret is not None:
                secrets[jid] = secret
            if secret != old:
                self._write(secrets)
            return old is not None

    def _read(self) -> dict[str, str]:
        try:
            with open(self.path, "rb") as stream:
                _warn_if_open(self.path, stream.fileno())
                return msgspec.json.decode(stream.read(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise DatabaseError(f"The stored passwords in {self.path} can't be read: {error.strerror}.") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DatabaseError(f"The stored passwords in {self.path} are damaged ({error}); move it away.") from None

    def _write(self, secrets: dict[str, str]) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _replace(self.path, msgspec.json.encode(secrets))
        except OSError as error:
            kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else DatabaseError
            raise kind(f"The stored passwords in {self.path} can't be written: {error.strerror}.") from None


def read_file(jid: str, path: Path) -> str:
    """The first line of a password-file, with a warning in the log when others can read it.

    Raises AuthenticationFailed with a sentence.
    """
    what = f"The password-file of {jid} ({path})"
    try:
        with open(path, "rb") as stream:
            _warn_if_open(path, stream.fileno())
            data = stream.read(LONGEST_FILE)
    except OSError as error:
        raise AuthenticationFailed(f"{what} can't be read: {error.strerror}.") from None
    return _first_line(what, data)


def _first_line(what: str, data: bytes) -> str:
    line = data.partition(b"\n")[0].removesuffix(b"\r")
    if not line:
        raise AuthenticationFailed(f"{what} gives an empty password.")
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise AuthenticationFailed(f"{what} gives a password that is not UTF-8.") from None


def _warn_if_open(path: Path, descriptor: int) -> None:
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & 0o077:
        log.warning("Others can read passwords in %s (mode %04o); run: chmod 600 %s", path, mode, path)


def _replace(path: Path, data: bytes) -> None:
    """Put data in the place of a file so that a crash leaves either the old or the new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _fail(error: Exception) -> NoReturn:
    raise error


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and what it started, which may hold its output when it has ended itself."""
    # Until it is waited for nobody else has its number.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
