# SPDX-License-Identifier: Apache-2.0
"""The program at a terminal: what it says, how it ends, and what `millrace dev` leaves behind."""
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from cli import Shell, environment, run
from local_platform import Client, Unreachable, copy_prepared, make_uscc, program

NEEDED_BY_ALL = ["internal_token", "database_url", "operator_key", "regulator_key", "data_folder", "custodian_url",
                 "custodian_key", "custodian_secret", "custodian_account"]


@pytest.fixture(scope="module")
def shell(platform):
    """The operator."""
    return Shell(platform.data)


@pytest.fixture
def folder():
    """Where PostgreSQL, which leaves root, can enter."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="millrace-cli-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


# --- without an instance

@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_help(arguments):
    done = run(*arguments)
    assert done.returncode == 0 and done.stderr == ""
    for word in ("dev", "demo", "verify", "import", "serve", "migrate", "config", "bookings", "listings", "escrows"):
        assert re.search(rf"\b{word}\b", done.stdout), word


def test_help_of_each_command():
    """Help is asked of a command in two ways, nothing else is done, and examples come first."""
    commands = [word for word, _ in complete("")]
    assert len(commands) > 25 and {"listen", "clock", "whoami", "doctor", "completion", "bookings", "events"} <= set(commands)
    for command in commands:
        done = run(command, "--help")
        assert done.returncode == 0 and done.stdout.startswith(f"millrace {command} ") and done.stderr == "", done
        assert 0 < done.stdout.index("\nExamples\n  millrace ") < max(done.stdout.find("\nUsage"), done.stdout.find("\nVerbs")), done.stdout
        assert run("help", command).stdout == done.stdout


def test_help_of_one_verb():
    done = run("resources", "create", "--help").stdout
    assert re.search(r"--kind NAME .*needed.*TOOLING", done) and "--external-id TEXT" in done and "--idempotency-key" in done
    assert "--create-time" not in done  # the platform's own


def complete(*typed):
    """(word, what it means) of each candidate for the last word."""
    return [tuple(line.split("\t")) for line in run("complete", "--", *typed).stdout.splitlines()]


@pytest.mark.parametrize("line, wanted", [
    ("millrace li", ["listen", "listings"]), ("millrace bookings checkI", ["checkIn"]), ("millrace clock ", ["show", "advance"]),
    ("millrace resources create --external", ["--external-id"]), ("millrace resources create --kind TOO", ["TOOLING"]),
    ("millrace listen --forw", ["--forward-to"]), ("millrace completion f", ["fish"]), ("millrace import machi", ["machines.csv"]),
    ("millrace listings get lst_1 --js", ["--json"])])
def test_bash_completion(tmp_path, line, wanted):
    (tmp_path / "machines.csv").touch()
    script = f"""PATH={program().parent}:$PATH; source <(millrace completion bash); COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
        COMP_WORDS=($COMP_LINE); [[ "$COMP_LINE" == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        complete -p millrace >/dev/null && _millrace && printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert done.stdout.splitlines() == wanted, done


@pytest.mark.parametrize("shell_name, word", [("zsh", "compdef _millrace millrace"), ("fish", "complete -c millrace")])
def test_other_completions(shell_name, word):
    done = run("completion", shell_name)
    assert done.returncode == 0 and word in done.stdout
    if shutil.which(shell_name):
        assert subprocess.run([shell_name, "-n"], input=done.stdout, text=True, capture_output=True).returncode == 0


def test_version():
    assert re.fullmatch(r"millrace \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("arguments, sentence", [
    (["nonsense"], "there is no command nonsense; `millrace help` lists them"),
    (["dev", "--colour"], "dev cannot use --colour; `millrace dev --help`"),
    (["dev", "--port", "70000"], "--port must be 0 to 65535"),
    (["dev", "--port", "http"], "--port must be 0 to 65535"),
    (["verify", "--key"], "verify cannot use --key; `millrace verify --help`"),
    (["import"], "Name a CSV file"),
    (["import", "--colour", "x.csv"], "import cannot use --colour"),
    (["config"], "`millrace config show`"),
    (["migrate"], "database_url: needed"),
    (["serve", "--role=miller"], 'there is no role "miller"; choose from all, gateway'),
    (["serve", "--colour=red"], "--colour: unknown; `millrace config show` lists all"),
    (["serve", "--http-address"], "--http-address: needs a value"),
    (["serve", "--config", "/no/such/file"], "/no/such/file: cannot be read"),
    (["serve", "--http-address=here", "--fee-basis-points=much"], "fee_basis_points (flag): must be a whole number"),
    (["listen"], "--forward-to needs the receiver's address"),
    (["listen", "--forward-to", "localhost:3000"], "--forward-to needs the receiver's address"),
    (["listen", "--forward-to", "http://h/", "--limit", "few"], "--limit is a number of events"),
    (["listen", "--forward-to", "http://h/", "--loud"], "listen cannot use --loud"),
    (["events", "tail", "--colour"], "events tail cannot use --colour"),
    (["events", "tail", "--since", "yesterday"], "--since is an event's id, a seq, a time"),
    (["clock"], "clock what?"),
    (["clock", "stop"], "clock: there is no verb stop; these are: show, advance"),
    (["clock", "advance"], "by how much, or to when?"),
    (["whoami", "--key-file", "/no/such/file"], "the key file /no/such/file cannot be read"),
    (["completion", "tcsh"], "completion for which shell?"),
    (["doctor", "--colour=red"], "--colour: unknown"),
    (["doctor", "stethoscope"], "doctor cannot use stethoscope"),
    (["doctor", "--instance", "/no/such/folder"], "no millrace dev runs on /no/such/folder"),
    (["demo", "--instance", "/no/such/folder"], "no millrace dev runs on /no/such/folder; start one"),
    (["verify", "--instance", "/no/such/folder"], "no millrace dev runs on /no/such/folder; start one"),
])
def test_misuse_says_what_to_do(arguments, sentence):
    done = run(*arguments)
    assert done.returncode == 2 and sentence in done.stderr, done
    assert done.stdout == ""


def test_serve_names_all_missing_settings_at_once():
    done = run("serve")
    assert done.returncode == 2
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == NEEDED_BY_ALL
    assert done.stderr.count("millrace config show") == len(NEEDED_BY_ALL)


def test_serve_needs_of_one_role():
    done = run("serve", "--role=credit")
    assert done.returncode == 2
    assert "database_url" in done.stderr and "identity_address" in done.stderr
    assert "custodian_url" not in done.stderr and "operator_key" not in done.stderr


def rows(output):
    """Settings as {key: the rest of its line}."""
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in output.splitlines() if re.match(r"[a-z_]+ {2,}", line)}


def test_config_shows_origins_and_hides_secrets(tmp_path):
    file = tmp_path / "millrace.conf"
    file.write_text("# of this machine\ndrain_seconds = 7\nfee_basis_points = 250\noperator_key = sk_from_a_file\n")
    done = run("config", "show", "--config", file, "--http-address=127.0.0.1:9999", MILLRACE_CUSTODIAN_KEY="ck_from_outside",
               MILLRACE_FEE_BASIS_POINTS="275", MILLRACE_DATABASE_URL="postgresql://u:hidden@h/d")
    assert done.returncode == 0, done
    shown = rows(done.stdout)
    assert shown["http_address"].split()[:2] == ["127.0.0.1:9999", "flag"]
    assert shown["fee_basis_points"].split()[:3] == ["275", "environment", "MILLRACE_FEE_BASIS_POINTS"]
    assert shown["drain_seconds"].split()[:3] == ["7", "file", str(file)]
    assert shown["role"].split()[:2] == ["all", "default"]
    for secret in ("operator_key", "custodian_key", "database_url"):
        assert shown[secret].startswith("(set)")
    for text in ("sk_from_a_file", "ck_from_outside", "hidden"):
        assert text not in done.stdout + done.stderr


def test_config_as_json():
    shown = json.loads(run("config", "show", "--json", "--drain-seconds=7", MILLRACE_OPERATOR_KEY="sk_1").stdout)
    assert shown["drain_seconds"]["value"] == "7" and shown["drain_seconds"]["origin"] == "flag"
    assert shown["operator_key"]["value"] == "" and shown["operator_key"]["set"] is True and "sk_1" not in json.dumps(shown)


def test_config_shows_faults_too():
    done = run("config", "show", "--http-address=here")
    assert done.returncode == 2 and "http_address (flag): must be host:port" in done.stderr and "drain_seconds" in done.stdout


def test_no_server():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    for arguments in (["listings", "list"], ["verify"]):
        done = run(*arguments, "--url", url, "--key", "sk_test_x")
        assert done.returncode == 1
        assert url in done.stderr and "is `millrace dev` running?" in done.stderr


# --- resources

def test_noun_shows_its_verbs():
    done = run("listings")
    assert done.returncode == 2
    for verb in ("create", "get", "list", "update", "publish", "pause", "resume", "retire", "price"):
        assert re.search(rf"^  {verb} +", done.stderr, re.M), verb


@pytest.mark.parametrize("arguments, sentence", [
    (["listings", "frobnicate"], "there is no verb frobnicate"),
    (["listings", "get"], "which one? Give its id"),
    (["listings", "list", "lst_1"], "takes no lst_1"),
    (["listings", "list", "--page-size"], "--page-size needs a value"),
    (["listings", "create", "--data", "{"], "--data must be a JSON object"),
    (["listings", "create", "--data", "[1]"], "--data must be a JSON object"),
    (["listings", "create", "--data", "@/no/such/file"], "the file that --data names cannot be read"),
])
def test_misused_resource_commands(shell, arguments, sentence):
    assert sentence in shell(*arguments, status=2).stderr


def test_a_resource_and_its_listing(world, tmp_path):
    provider = world.organization("命令行企业")
    shell = Shell(world.platform.data, provider.secret)
    # Flags are typed by the contract: a code of digits stays text, a number becomes one, structures are JSON.
    made = json.loads(shell("resources", "create", "--json", "--kind", "EQUIPMENT", "--external-id", "42", "--units=2",
                            "--display-name", '{"en":"Mill"}', "--attributes", '{"equipment":{"axes":5}}').stdout)
    assert made["external_id"] == "42" and made["units"] == 2
    file = tmp_path / "listing.json"
    file.write_text(json.dumps(world.listing_body(made["id"])))
    listing = json.loads(shell("listings", "create", "--data", f"@{file}").stdout)
    assert listing["state"] == "DRAFT"
    assert json.loads(shell("listings", "get", listing["id"]).stdout) == listing
    published = json.loads(shell("listings", "publish", listing["id"]).stdout)
    assert published["state"] in ("PUBLISHED", "IN_REVIEW")
    # Standard input, and a flag that overrides it.
    other = json.loads(shell("listings", "create", "--data", "-", "--external-id", "77", stdin=file.read_text()).stdout)
    assert other["external_id"] == "77"
    table = shell("listings", "list").stdout
    assert [line.split()[:2] for line in table.splitlines()] == [[other["id"], "DRAFT"], [listing["id"], published["state"]]]
    page = shell("listings", "list", "--page-size", "1")
    assert page.stdout.count("\n") == 1
    token = re.search(r"more: --page-token (\S+),", page.stderr)[1]
    assert listing["id"] in shell("listings", "list", "--page-size", "1", "--page-token", token).stdout
    assert [row["id"] for row in json.loads(shell("listings", "list", "--json").stdout)["data"]] == [other["id"], listing["id"]]
    # The version that is to be changed.
    assert json.loads(shell("listings", "get", other["id"]).stdout)["etag"] == "1"
    refused = shell("listings", "update", other["id"], "--data", f"@{file}", "--if-match", '"99"', status=1)
    assert refused.stderr.startswith("ETAG_MISMATCH"), refused.stderr
    assert json.loads(shell("listings", "update", other["id"], "--data", f"@{file}", "--if-match", '"1"').stdout)["etag"] == "2"


def test_texts_of_digits(shell):
    """Registration has codes of digits only."""
    done = shell("organizations", "create", "--display-name", "示例", "--uscc", make_uscc(int(time.time() * 1000) % 31**6),
                 "--industry-code", "3425", "--region-code", "320583", "--synthetic", "true")
    made = json.loads(done.stdout)
    assert made["organization"]["region_code"] == "320583" and made["api_key"]["secret"]


def test_same_command_twice_is_done_once(world):
    shell = Shell(world.platform.data, world.organization("命令行企业").secret)
    command = ["resources", "create", "--kind", "EQUIPMENT", "--display-name", '{"en":"Mill"}', "--idempotency-key", "once-only-1"]
    assert shell(*command).stdout == shell(*command).stdout
    assert len(shell("resources", "list").stdout.splitlines()) == 1


def test_exit_statuses_of_refusals(world, shell):
    nothing = "lst_01J9ZK3V6M2E8QW4T7Y1N5R0AB"
    refused = shell("listings", "get", nothing, status=1)
    assert refused.stdout == "" and refused.stderr.startswith("NOT_FOUND: ")
    problem = json.loads(shell("listings", "get", nothing, "--json", status=1).stdout)
    assert problem["code"] == "NOT_FOUND" and problem["status"] == 404
    faults = shell("resources", "create", "--kind", "SPACESHIP", status=1).stderr
    assert "#/kind" in faults
    unknown = Shell(world.platform.data, "sk_test_wrong")("listings", "list", status=4)
    assert unknown.stderr.startswith("UNAUTHENTICATED") and "MILLRACE_KEY" in unknown.stderr
    party = Shell(world.platform.data, world.organization().secret)
    assert party("ledger", "verify", status=4).stderr.startswith("INSUFFICIENT_SCOPE")
    # In the language of the terminal.
    assert re.search("[\u4e00-\u9fff]", shell("listings", "get", nothing, status=1, LANG="zh_CN.UTF-8").stderr)


def test_where_and_as_whom_by_variables(world):
    party = world.organization("环境变量")
    me = run("me", "get", MILLRACE_URL=world.platform.instance["url"], MILLRACE_KEY=party.secret)
    assert me.returncode == 0 and party.id in me.stdout, me


def test_import_template_and_attachments(shell, tmp_path):
    assert shell("import_template", "get", "--kind", "EQUIPMENT").stdout.startswith("external_id,")
    (tmp_path / "drawing.pdf").write_bytes(b"%PDF-1.7 \x00\xff")
    made = json.loads(shell("attachments", "create", "--data", f"@{tmp_path / 'drawing.pdf'}", "--content-type",
                            "application/pdf", status=0).stdout)
    assert made["size"] == "11"


def test_verify(world, shell):
    done = shell("verify")
    assert len(re.findall(r"^ +holds ", done.stdout, re.M)) >= 5 and "FAILS" not in done.stdout
    assert json.loads(shell("verify", "--json").stdout)["passed"] is True
    refused = Shell(world.platform.data, "sk_test_wrong")("verify", status=4)
    assert "Only the operator may" in refused.stderr and refused.stdout == ""


def test_verify_tells_a_ledger_that_was_tampered_with(world, shell):
    """Done to the tables themselves, behind the platform's back, and put right again."""
    def sql(statement):
        done = subprocess.run(["psql", "-v", "ON_ERROR_STOP=1", "-qtAc", statement, world.platform.instance["database_url"]],
                              capture_output=True, text=True, env=environment())
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    world.pay_in(world.organization("账目企业"), 5000)
    world.verify_ledger()
    change = "UPDATE escrow.account SET balance = balance {} 1 WHERE balance = 5000"
    sql(change.format("+"))
    try:
        done = shell("verify", status=1)
        assert "FAILS" in done.stdout
    finally:
        sql(change.format("-").replace("= 5000", "= 5001"))


# --- dev

class Dev:
    """`millrace dev` on a folder, without the sample."""

    def __init__(self, folder, *more, port="0", cwd=None):
        self.folder = folder
        self.process = subprocess.Popen([str(program()), "dev", "--data", str(folder), "--port", str(port), "--no-sample", *more],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), cwd=cwd)
        self.output = ""

    def ready(self, seconds=60):
        end = time.monotonic() + seconds
        while not self.output.endswith("\nReady\n"):
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                text = os.read(self.process.stdout.fileno(), 65536).decode()
                assert text, self.output
                self.output += text
            assert time.monotonic() < end, self.output
        return self

    @property
    def instance(self):
        return json.loads((self.folder / "dev.json").read_text())

    def end(self, sign=signal.SIGINT):
        self.process.send_signal(sign)
        self.output += self.process.communicate(timeout=40)[0].decode()
        return self.process.returncode


@pytest.fixture
def dev(folder):
    started = []

    def start(*more, **named):
        started.append(Dev(folder, *more, **named))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.end(signal.SIGTERM)
        if one.process.poll() is None:
            one.process.kill()


def alive(pid):
    with contextlib.suppress(OSError, IndexError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def register(folder):
    shell = Shell(folder)
    return json.loads(shell("organizations", "create", "--display-name", "留存企业", "--industry-code", "C3425", "--region-code",
                            "320583", "--uscc", make_uscc(int(time.time() * 1000) % 31**6)).stdout)["organization"]["id"]


def test_dev_refuses_a_taken_port(dev, folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        one = dev(port=port)
        out = one.process.communicate(timeout=30)[0].decode()
    assert one.process.returncode == 1
    assert f"port {port} is taken; choose another with --port, or 0 for any free one" in out


def test_dev_refuses_a_folder_that_cannot_be_made():
    done = run("dev", "--data", "/dev/null/here", "--port", "0")
    assert done.returncode == 1 and "choose another" in done.stderr


def test_dev_twice_keeps_data_and_a_second_one_is_refused(dev, folder):
    first = dev().ready()
    before = first.instance
    id = register(folder)
    for extra in ([], ["--reset"]):  # not even --reset touches a folder that is in use
        second = dev(*extra)
        out = second.process.communicate(timeout=30)[0].decode()
        assert second.process.returncode == 1 and f"another millrace dev runs on {folder}; stop it" in out
        assert first.instance == before
    shell = Shell(folder)
    shell("verify")
    pids = first.instance["processes"].values()
    # Ctrl-C: it drains, ends with 0 and leaves no process and no dev.json behind.
    assert first.end(signal.SIGINT) == 0 and "Stopping: requests in flight finish first" in first.output
    assert not any(map(alive, pids)) and not (folder / "dev.json").exists()
    assert "no millrace dev runs on" in shell("verify", status=2).stderr
    again = dev().ready()
    assert again.instance["operator_key"] == before["operator_key"]
    assert "making a PostgreSQL data folder" not in again.output
    assert id in shell("organizations", "get", id).stdout
    assert again.end() == 0
    # A fresh start takes the data, but nothing that dev did not make.
    (folder / "my own file").write_text("mine")
    fresh = dev("--reset").ready()
    assert "making a PostgreSQL data folder" in fresh.output and (folder / "my own file").exists()
    assert shell("organizations", "get", id, status=1).stderr.startswith("NOT_FOUND")
    assert fresh.instance["operator_key"] != before["operator_key"]


def test_a_killed_dev_takes_its_programs_along(dev, folder):
    """kill -9 leaves dev no word; the kernel ends its children, and a new dev started at once waits for that."""
    copy_prepared(folder)
    one = dev().ready()
    id = register(folder)
    for _ in range(2):
        pids = one.instance["processes"].values()
        one.process.kill()
        one.process.wait()
        one = dev().ready()
        assert not any(map(alive, pids))
    assert id in Shell(folder)("organizations", "get", id).stdout


def test_requests_in_flight_are_answered_when_it_ends(dev, folder):
    """Registrations keep coming while Ctrl-C does: each is answered or not taken at all, none is lost half way."""
    copy_prepared(folder)
    one = dev().ready()
    client = Client(one.instance["url"], one.instance["operator_key"])  # who has no key registers but a few a minute

    def ask(number):
        try:
            return client.send("POST", "/v1/organizations", {
                "display_name": "并发", "uscc": make_uscc(number), "industry_code": "C3425", "region_code": "320583"}).status
        except Unreachable as e:
            return "not connected" if "ConnectionRefused" in str(e) else "not known"

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, number) for number in range(2000)]
        time.sleep(1)
        status = one.end(signal.SIGINT)
        seen = [answer.result() for answer in answers]
    assert status == 0
    registered, unknown = seen.count(201), seen.count("not known")
    assert registered > 0 and set(map(str, seen)) <= {"201", "503", "not connected", "not known"}, set(seen)
    dev().ready()
    shell, listed, token = Shell(folder), 0, []
    while True:
        page = json.loads(shell("organizations", "list", "--json", "--page-size", "200", *token).stdout)
        listed += sum(one["display_name"] == "并发" for one in page["data"])
        if "next_page_token" not in page:
            break
        token = ["--page-token", page["next_page_token"]]
    # Who got no answer had not been taken in: whatever was done has been told.
    assert listed == registered
    print(f"{registered} registered, {unknown} without an answer")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_dev_as_an_ordinary_user(folder):
    """Without root: data in ./.millrace, and PostgreSQL runs as that user."""
    user = f"millrace-t{os.getpid()}"
    copied = folder / "bin"
    subprocess.run(["useradd", "--create-home", "--home-dir", str(folder / "home"), "--shell", "/bin/sh", user], check=True)
    one = None
    try:
        shutil.copytree(program().parent, copied)  # the build may stand where only root can enter
        home = folder / "home"
        one = subprocess.Popen(["runuser", "-u", user, "--", str(copied / "millrace"), "dev", "--port", "0", "--no-sample"],
                               cwd=home, env=environment(HOME=str(home)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        end = time.monotonic() + 60
        while not (home / ".millrace/dev.json").exists():
            assert one.poll() is None and time.monotonic() < end, one.stdout.read().decode()
            time.sleep(0.05)
        processes = json.loads((home / ".millrace/dev.json").read_text())["processes"]
        owners = {name: pathlib.Path(f"/proc/{pid}").owner() for name, pid in processes.items()}
        assert set(owners.values()) == {user} and "postgres" in owners
        done = subprocess.run(["runuser", "-u", user, "--", str(copied / "millrace"), "verify"], cwd=home, capture_output=True,
                              text=True, env=environment(HOME=str(home)))
        assert done.returncode == 0 and "holds" in done.stdout, done
        # Not by runuser, which would not wait for it to end.
        os.kill(int(pathlib.Path(f"/proc/{processes['postgres']}/stat").read_text().rsplit(")", 1)[1].split()[1]), signal.SIGTERM)
        assert one.wait(40) == 0
        assert not any(map(alive, processes.values()))
    finally:
        if one and one.poll() is None:
            one.kill()
            one.wait()
        if one:
            one.stdout.close()
        for _ in range(50):
            if subprocess.run(["userdel", user], capture_output=True).returncode == 0:
                break
            time.sleep(0.2)
