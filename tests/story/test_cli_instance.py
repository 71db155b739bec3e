# SPDX-License-Identifier: Apache-2.0
"""The command line against an instance: whom it asks and as whom, events and webhooks, the clock, imports, what the doctor finds."""
import contextlib
import datetime
import http.server
import json
import os
import pty
import re
import ssl
import subprocess
import threading
import time

import millrace
import pytest

from cli import Shell, environment, run
from local_platform import program


@pytest.fixture(scope="module")
def shell(platform):
    """The operator."""
    return Shell(platform.data)


# --- where and as whom

def test_whoami_and_where_that_comes_from(world, tmp_path):
    party, url = world.organization("我是谁"), world.platform.instance["url"]
    key_file, config = tmp_path / "key", tmp_path / "config/millrace/config"
    key_file.write_text(party.secret + "\n")
    config.parent.mkdir(parents=True)
    config.write_text(f"# mine\nurl = {url}\nkey_file = {key_file}\n")
    xdg = {"XDG_CONFIG_HOME": str(tmp_path / "config")}

    def who(*arguments, **variables):
        done = run("whoami", "--json", *arguments, **variables)
        assert done.returncode == 0, done
        return json.loads(done.stdout)

    assert who(**xdg)["key_origin"] == f"file {key_file}" and who(**xdg)["url_origin"] == f"file {config}"
    assert who(**xdg)["organization"]["id"] == party.id
    assert who("--url", url, "--key", party.secret)["key_origin"] == "flag --key"
    assert who("--key-file", key_file, **xdg)["url_origin"] == f"file {config}"
    assert who(MILLRACE_URL=url, MILLRACE_KEY_FILE=str(key_file))["key_origin"] == f"file {key_file}"
    dev = who("--instance", world.platform.data, MILLRACE_URL="http://127.0.0.1:1", MILLRACE_KEY="sk_other")
    assert dev["key_origin"].startswith("the millrace dev") and dev["roles"] == ["admin", "operator"]  # what is named wins
    table = run("whoami", **xdg).stdout
    assert [line.split("\t")[0] for line in table.splitlines()] == ["organization", "id", "roles", "key", "url"] and party.id in table
    config.write_text(f"url = {url}\nkey = {party.secret}\n")
    config.chmod(0o644)
    assert "chmod 600" in run("whoami", **xdg).stderr
    config.write_text("colour = red\n")
    assert run("whoami", **xdg).returncode == 2


def test_a_key_is_not_sent_to_another_address(world, tmp_path):
    """The file's key, and a dev's, go to their own address alone."""
    config = tmp_path / "millrace/config"
    config.parent.mkdir()
    config.write_text(f"url = http://127.0.0.1:1\nkey = {world.organization().secret}\n")
    with Receiver() as other:
        for arguments in (["--url", other.url], ["--url", other.url, "--instance", str(world.platform.data)]):
            assert run("whoami", *arguments, XDG_CONFIG_HOME=str(tmp_path)).returncode == 4
        assert len(other.got) == 2 and not any("Authorization" in headers for _, headers, _ in other.got)


class Receiver:
    """Takes webhooks; `answers` are its statuses, the last one again and again."""

    def __init__(self, *answers, tls=None):
        got, statuses = [], list(answers) or [401]

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                got.append((self.path, self.headers, body))
                self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_GET = do_POST

            def log_message(self, *_):
                pass

        self.got, self.server = got, http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class Running:
    """A command that goes on: its lines as they come."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen([str(program()), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True, env=environment())

    def lines(self, count, seconds=30):
        timer = threading.Timer(seconds, self.process.kill)
        timer.start()
        try:
            return [self.process.stdout.readline().rstrip("\n") for _ in range(count)]
        finally:
            timer.cancel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


def told(party, *listings):
    """The party's feed has heard that they were published."""
    party.client.wait("/v1/events?type=listing.published", lambda body: set(listings) <= {e["subject"].split("/")[-1] for e in body["data"]})


def test_events_tail(world):
    party = world.organization("看事件")
    shell = Shell(world.platform.data, party.secret)
    first, second = (world.listing(party)["id"] for _ in range(2))
    told(party, first, second)
    whole = [json.loads(line) for line in shell("events", "tail", "--since", "0", "--type", "listing.published", "--limit", "2", "--json").stdout.splitlines()]
    assert [e["type"] for e in whole] == ["listing.published"] * 2
    assert [e["subject"].split("/")[-1] for e in whole] == [first, second]
    line = shell("events", "tail", "--since", whole[0]["id"], "--type", "listing.published", "--limit", "1").stdout
    assert line.count("\t") == 3 and line.split("\t")[1] == "listing.published" and second in line and "\033" not in line
    ago = shell("events", "tail", "--since", "2h", "--type", "listing.published", "--limit", "2", "--json").stdout
    assert [json.loads(line)["id"] for line in ago.splitlines()] == [e["id"] for e in whole]
    assert Shell(world.platform.data, "sk_test_wrong")("events", "tail", status=4).stdout == ""


def test_listen_forwards_signed_events(world):
    party = world.organization("转发事件")
    shell = Shell(world.platform.data, party.secret)
    secret = shell("listen", "--print-secret").stdout.strip()
    assert secret.startswith("whsec_") and secret == shell("listen", "--print-secret").stdout.strip()
    assert secret != Shell(world.platform.data, world.organization().secret)("listen", "--print-secret").stdout.strip()
    made = [world.listing(party)["id"] for _ in range(3)]
    told(party, *made)
    with Receiver(204, 500, 200) as receiver:
        done = shell("listen", "--forward-to", f"{receiver.url}/hooks?tenant=7&x=%20", "--events", "listing.published", "--since", "0", "--limit", "3")
        assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["204", "500", "200"]
        assert all("listing.published" in line for line in done.stdout.splitlines()) and "\033" not in done.stdout
        for (path, headers, body), id in zip(receiver.got, made):
            event = millrace.verify_webhook(secret, headers, body)
            assert path == "/hooks?tenant=7&x=%20" and event["type"] == "listing.published" and event["subject"].endswith(id)
            assert headers["webhook-id"] == event["id"]
            with pytest.raises(millrace.WebhookError):
                millrace.verify_webhook(secret, headers, body + b" ")
    line = shell("listen", "--forward-to", receiver.url, "--events", "listing.published", "--since", "0", "--limit", "1", "--json").stdout
    assert json.loads(line)["status"] == 0 and "refused" in json.loads(line)["error"]  # nobody is there any more: it goes on


def test_listen_goes_on_after_a_drop(world):
    """The platform dies in the midst: no event is missed, none comes twice."""
    party = world.organization("断线重连")
    with Receiver(200) as receiver, Running("listen", "--forward-to", receiver.url, "--events", "listing.published", "--instance",
                                            world.platform.data, "--key", party.secret) as listening:
        assert "Forwarding" in listening.process.stderr.readline()
        time.sleep(1)  # the stream is asked for once the line is out
        made = [world.listing(party)["id"]]
        listening.lines(1)
        pid = world.platform.pid("all")
        world.platform.kill("all")
        world.platform.wait_restarted("all", pid)
        party.client.wait("/v1/me", lambda body: True, seconds=40)
        made += [world.listing(party)["id"] for _ in range(2)]
        listening.lines(2, seconds=60)
        assert [json.loads(body)["subject"].split("/")[-1] for _, _, body in receiver.got] == made


def test_listen_to_an_https_receiver(world, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=test", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    party = world.organization("加密接收")
    made = world.listing(party)["id"]
    told(party, made)
    with Receiver(200, tls=tls) as receiver:
        words = ["listen", "--forward-to", receiver.url, "--events", "listing.published", "--since", "0", "--limit", "1", "--json"]
        shell = Shell(world.platform.data, party.secret)
        refused = json.loads(shell(*words).stdout)
        assert refused["status"] == 0 and "certificate" in refused["error"] and not receiver.got
        assert json.loads(shell(*words, "--skip-verify").stdout)["status"] == 200


def test_clock(world, shell):
    before = world.now()
    shown = shell("clock", "show").stdout.split("\t")
    assert shown[0].endswith("Z") and "test clock" in shown[1]
    assert json.loads(shell("clock", "show", "--json").stdout)["test"] is True
    said = shell("clock", "advance", "1d12h").stdout
    assert re.fullmatch(r"\S+Z -> \S+Z, \d+ timers fired\n", said)
    assert datetime.timedelta(hours=36) <= world.now() - before < datetime.timedelta(hours=37)
    assert json.loads(shell("clock", "advance", "PT36H", "--json").stdout)["clock"]["test"] is True
    to = (world.now() + datetime.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert to in shell("clock", "advance", "--to", to).stdout
    assert "is no length" in shell("clock", "advance", "fast", status=2).stderr
    assert "with its offset" in shell("clock", "advance", "--to", "2040-01-01T00:00:00", status=2).stderr
    assert shell("clock", "advance", "--to", to, status=1).stdout == ""  # the past
    assert "INSUFFICIENT_SCOPE" in Shell(world.platform.data, world.organization().secret)("clock", "advance", "1h", status=4).stderr


# --- what is printed, and flags of every resource command

def test_tables_at_a_terminal_and_behind_a_pipe(world):
    party = world.organization("表格企业")
    id = world.resource(party)["id"]
    target = ["--instance", str(world.platform.data), "--key", party.secret]
    piped = run("resources", "list", *target).stdout
    assert piped.count("\n") == 1 and piped.split("\t")[0] == id and piped.rstrip("\n").split("\t")[3] == "五轴加工中心"

    def at_terminal(*arguments, **variables):
        master, slave = pty.openpty()
        done = subprocess.run([str(program()), *arguments, *target[:2]], stdout=slave, stderr=subprocess.PIPE, env=environment(TERM="xterm", **variables))
        os.close(slave)
        text = b""
        with contextlib.suppress(OSError):
            while piece := os.read(master, 65536):
                text += piece
        os.close(master)
        return done.returncode, text.decode()

    _, table = at_terminal("organizations", "list", "--page-size", "1")
    assert table.startswith("ID ") and "\t" not in table
    assert "\033[32m" in at_terminal("doctor")[1]
    assert "\033" not in at_terminal("doctor", NO_COLOR="1")[1]


def test_generic_flags(world):
    party = world.organization("通用参数")
    shell = Shell(world.platform.data, party.secret)
    for number in range(3):
        world.resource(party)
    every = shell("resources", "list", "--page-size", "2", "--all")
    assert len(every.stdout.splitlines()) == 3 and every.stderr == ""
    assert len(json.loads(shell("resources", "list", "--page-size", "1", "--all", "--json").stdout)["data"]) == 3
    shell("resources", "create", "--kind", "TOOLING", "--display-name", '{"en":"Jig"}', "--validate-only")
    assert len(shell("resources", "list").stdout.splitlines()) == 3
    made = json.loads(shell("api_keys", "create", "--display-name", "second").stdout)
    shell("api_keys", "delete", made.get("api_key", made)["id"])
    assert shell("resources", "create", "--kind", "SPACESHIP", "--json", status=1).stdout.startswith("{")


def test_import_dry_run(world, tmp_path):
    party = world.organization("导入企业")
    shell = Shell(world.platform.data, party.secret)
    file = tmp_path / "machines.csv"
    file.write_text("external_id,kind,name_en\nA-1,EQUIPMENT,Mill\nA-2,SPACESHIP,Ship\n")
    told = shell("import", str(file), "--dry-run", status=1)
    assert "1  to create" in told.stdout and "1  invalid" in told.stdout and "Nothing was taken over" in told.stdout
    whole = json.loads(shell("import", str(file), "--dry-run", "--json", status=1).stdout)
    assert whole["summary"]["to_create"] == 1 and whole["failures"][0]["column"] == "kind"
    assert shell("resources", "list").stdout == ""
    done = json.loads(shell("import", str(file), "--skip-invalid", "--json").stdout)
    assert done["state"] == "CONFIRMED" and len(shell("resources", "list").stdout.splitlines()) == 1


# --- doctor

def test_doctor_finds_nothing_in_a_sound_instance(world, shell):
    done = run("doctor", "--instance", str(world.platform.data))
    assert done.returncode == 0 and "FAIL" not in done.stdout, done
    for name in ("version", "settings", "database", "clock", "migrations", "redis", "custodian", "disk", "port"):
        assert re.search(rf"^ok +{name} ", done.stdout, re.M), (name, done.stdout)
    whole = json.loads(run("doctor", "--instance", str(world.platform.data), "--json").stdout)
    assert whole["passed"] is True and all(check["state"] != "failed" for check in whole["checks"])


def test_doctor_says_what_mends_a_broken_instance(world, tmp_path):
    instance = world.platform.instance
    database = instance["database_url"]

    def sql(where, statement):
        done = subprocess.run(["psql", "-v", "ON_ERROR_STOP=1", "-qtAc", statement, where], capture_output=True, text=True, env=environment())
        assert done.returncode == 0, done.stderr

    def failed(**variables):
        done = run("doctor", "--json", **{f"MILLRACE_{name}": value for name, value in variables.items()})
        assert done.returncode == 1, done
        report = json.loads(done.stdout)
        assert report["passed"] is False
        faults = {check["name"]: check for check in report["checks"] if check["state"] == "failed"}
        assert all(check["fix"] for check in faults.values())
        return faults

    sound = {"DATABASE_URL": database, "REDIS_URL": "unix:" + instance["redis_socket"], "CUSTODIAN_URL": instance["custodian_url"],
             "CUSTODIAN_KEY": instance["custodian_key"], "DATA_FOLDER": str(tmp_path), "HTTP_ADDRESS": instance["url"].removeprefix("http://")}
    assert run("doctor", **{f"MILLRACE_{name}": value for name, value in sound.items()}).returncode == 0
    assert set(failed(**sound | {"DATABASE_URL": "host=/nonexistent dbname=x"})) == {"database"}
    sql(database, "CREATE DATABASE doctor_empty")
    empty = failed(**sound | {"DATABASE_URL": database.replace("dbname=millrace", "dbname=doctor_empty")})
    assert set(empty) == {"migrations"} and "millrace migrate" in empty["migrations"]["fix"]
    sql(database, "INSERT INTO credit.schema_migration (name, sha256) VALUES ('V999__later.sql', 'x')")
    try:
        newer = failed(**sound)
        assert set(newer) == {"migrations"} and "newer than this program: credit/V999__later.sql" in newer["migrations"]["detail"]
    finally:
        sql(database, "DELETE FROM credit.schema_migration WHERE name LIKE 'V999%'")
    assert set(failed(**sound | {"REDIS_URL": "unix:/nonexistent"})) == {"redis"}
    assert set(failed(**sound | {"CUSTODIAN_KEY": "wrong"})) == {"custodian"}
    assert set(failed(**sound | {"CUSTODIAN_URL": "http://127.0.0.1:1"})) == {"custodian"}
    assert set(failed(**sound | {"DATA_FOLDER": str(tmp_path / "none")})) == {"disk"}
    with Receiver(404) as other:
        assert set(failed(**sound | {"HTTP_ADDRESS": other.url.removeprefix("http://")})) == {"port"}
    told = run("doctor", **{f"MILLRACE_{name}": value for name, value in (sound | {"REDIS_URL": "unix:/nonexistent"}).items()})
    assert re.search(r"^FAIL +redis .*\n +mend it: +systemctl start redis-server", told.stdout, re.M)
