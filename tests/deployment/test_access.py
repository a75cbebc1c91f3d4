"""Who can reach the UI, and what they may do there: with a real browser and a real provider, and from a location."""

import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

import pytest

from ingest_tools import audit
from ingest_tools.dagster_api import Platform, PlatformError, wait_for
from ingest_tools.engine import EngineError, docker, inspect

from .conftest import Tested

pytest.importorskip("playwright")
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

from .test_ui import TIMEOUT, browser, picture

pytestmark = pytest.mark.docker
__all__ = ["browser"]

PROVIDER = Path(__file__).parent / "provider"
JOB = "github_reference_ingest"
LAUNCH = (
    'mutation { launchRun(executionParams: {mode: "default", selector: {repositoryLocationName: "github",'
    f' repositoryName: "__repository__", jobName: "{JOB}"}}}}) {{ __typename }} }}'
)
PEOPLE = {"anna": "admin", "gita": "editor of github", "stan": "editor of stripe", "vera": "viewer"}
MAY_SWITCH = {"anna": ("github", "stripe"), "gita": ("github",), "stan": ("stripe",), "vera": ()}


def runs(platform: Tested) -> int:
    return len(platform.platform.runs(limit=1000, pipelineName=JOB))


# From a location


REACH = """
import socket, sys
for address in sys.argv[1:]:
    try:
        socket.create_connection((address, 3000), timeout=2)
        print("reached", address)
    except OSError:
        pass
"""


def test_from_a_locations_network_nobody_reaches_the_ui(platform: Tested) -> None:
    """The webserver is in that network, to call the code server, so it listens on a socket in a volume."""
    networks = [inspect(platform.container(name))["NetworkSettings"]["Networks"] for name in ("webserver", "front")]
    addresses = [
        one[key] for found in networks for one in found.values() for key in ("IPAddress", "Gateway") if one[key]
    ]
    assert len(addresses) > 4
    tried = ["webserver", "front", "host.docker.internal", *addresses]
    assert platform.compose("exec", "-T", "github", "python", "-c", REACH, *tried) == ""
    assert platform.compose("exec", "-T", "front", "python3", "-c", REACH, "127.0.0.1") == "reached 127.0.0.1"


def test_the_webserver_listens_on_no_port(platform: Tested) -> None:
    """State 0A: https://docs.kernel.org/networking/proc_net_tcp.html"""
    tables = platform.compose("exec", "-T", "webserver", "cat", "/proc/net/tcp", "/proc/net/tcp6")
    listening = [line.split()[1] for line in tables.splitlines() if line.split()[3] == "0A"]
    assert [address for address in listening if not address.startswith("0B00007F:")] == []  # Docker's own resolver


@pytest.mark.parametrize(("size", "status"), [(900_000, 400), (1_100_000, 413)])
def test_a_request_has_at_most_a_megabyte(platform: Tested, size: int, status: int) -> None:
    """A few larger ones at the same time would exhaust the webserver's memory."""
    headers = {"Content-Type": "application/json"}
    with pytest.raises(HTTPError) as error:
        urlopen(Request(f"{platform.platform.url}/graphql", b"x" * size, headers))  # noqa: S310
    assert error.value.status == status


def test_a_request_that_never_ends_is_given_up(platform: Tested) -> None:
    """A thousand of them, each with a long header, would exhaust the proxy's memory."""
    with pytest.raises(HTTPError, match="431"):
        urlopen(Request(f"{platform.platform.url}/", headers={"X-Long": "x" * 50_000}))  # noqa: S310
    with socket.create_connection(("127.0.0.1", urlsplit(platform.platform.url).port or 80), timeout=60) as waiting:
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        while waiting.recv(1000):
            pass  # it says 408 before it hangs up


def test_a_request_that_fails_breaks_nobody_elses(platform: Tested) -> None:
    """After an error, uvicorn closes a connection that the proxy would use for the next request, whoever sent it."""
    for _ in range(100):
        with pytest.raises(HTTPError, match="500"):
            urlopen(f"{platform.platform.url}/download_debug/none")  # noqa: S310
        assert platform.platform.query("{ version }")


# From a page of another origin


EVIL = """<!doctype html><body>
<img src="{ui}/graphql?query={query}">
<form id=form method=post action="{ui}/graphql?query={query}" target=frame enctype=text/plain>
  <input name='{json}' value=''></form>
<iframe name=frame></iframe><iframe src="{ui}/graphql?query={query}"></iframe>
<script>
const tried = [];
const body = '{json}';
const post = (mode, type) => fetch("{ui}/graphql", {{method: "POST", mode, body, credentials: "include",
  headers: type ? {{"Content-Type": type}} : {{}}}}).then(a => a.text(), String).then(a => tried.push(a));
const socket = new Promise(done => {{
  const opened = new WebSocket("{ws}/graphql", "graphql-ws");
  opened.onopen = () => {{ tried.push("OPEN"); done(); }};
  opened.onerror = () => {{ tried.push("refused"); done(); }};
}});
document.getElementById("form").submit();
Promise.all([post("no-cors", "text/plain"), post("cors", "application/json"), post("no-cors"), socket])
  .then(() => setTimeout(() => {{ document.title = "done " + tried.join("|"); }}, 1500));
</script>"""


@contextmanager
def page_of(text: str) -> Iterator[int]:
    """Serves it on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def attack(browser: Browser | BrowserContext, platform: Tested, host: str) -> str:
    """Returns what a page of another origin gets when it tries to launch github's job in every way a browser has."""
    url = platform.platform.url
    text = EVIL.format(ui=url, ws=url.replace("http", "ws"), query=quote(LAUNCH), json=json.dumps({"query": LAUNCH}))
    with page_of(text) as port:
        page = browser.new_page()
        page.goto(f"http://{host}:{port}/")
        page.wait_for_function("document.title.startsWith('done')", timeout=TIMEOUT)
        title = page.title()
        page.close()
    return title


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_page_of_another_origin_launches_nothing(platform: Tested, browser: Browser, host: str) -> None:
    before = runs(platform)
    heard = attack(browser, platform, host)
    assert "LaunchRunSuccess" not in heard
    assert "OPEN" not in heard
    assert runs(platform) == before


def test_a_page_that_renames_itself_to_the_ui_reads_nothing(platform: Tested) -> None:
    """DNS rebinding: its own name, at the UI's address."""
    port = platform.platform.url.rpartition(":")[2]
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    command = [chromium or "chromium", "--headless", "--no-sandbox", "--disable-gpu"]
    command += ["--host-resolver-rules=MAP evil.test 127.0.0.1", "--dump-dom", f"http://evil.test:{port}/"]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "This host name is not the platform" in dumped


PICTURE = """source => new Promise(done => {
  const refused = [];
  document.addEventListener("securitypolicyviolation", event => refused.push(event.effectiveDirective));
  const picture = document.body.appendChild(new Image());
  picture.onload = picture.onerror = () => setTimeout(() => done(refused), 500);
  picture.src = source;
})"""


def test_a_picture_in_a_description_tells_no_other_server_who_looks_at_it(platform: Tested, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(platform.platform.url)
    with page_of("") as port:
        assert page.evaluate(PICTURE, f"http://127.0.0.1:{port}/") == ["img-src"]
    page.close()


# Where it is published


def test_beyond_the_loopback_it_does_not_start_without_a_login(platform: Tested) -> None:
    with pytest.raises(EngineError) as error:
        platform.compose("run", "--rm", "-T", "--no-deps", "webserver", INGEST_HOST="0.0.0.0")  # noqa: S104
    assert "INGEST_HOST=0.0.0.0 publishes the UI beyond this machine" in error.value.output
    assert "`make access`" in error.value.output


def test_without_a_login_the_log_and_status_say_so(platform: Tested) -> None:
    assert "no login: anyone on this machine" in platform.compose("logs", "webserver")
    assert platform.platform.login().startswith("no login: anyone on this machine")


# With a login


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])


HTTPS, HTTP = free_port(), free_port()
"""Where the service `tls` is published."""
OVER_TLS = f"https://localhost:{HTTPS}"


@pytest.fixture(scope="module")
def provider(platform: Tested) -> Iterator[str]:
    """Runs a real provider that browser and webserver reach at the same address; returns its issuer."""
    if not (PROVIDER / "node_modules").is_dir():
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=PROVIDER, check=True, timeout=120)
    gateway = inspect(platform.container("webserver"))["NetworkSettings"]["Networks"][f"{platform.project}_default"]
    port = free_port()
    issuer = f"http://{gateway['Gateway']}:{port}"
    callbacks = [f"{url}/auth/callback" for url in (platform.platform.url, OVER_TLS)]
    command = ["node", "server.js", issuer, str(port), *callbacks]
    process = subprocess.Popen(command, cwd=PROVIDER, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "listening\n"
    yield issuer
    process.terminate()
    process.wait(10)


@pytest.fixture(scope="module")
def tokens(platform: Tested, provider: str) -> Iterator[dict[str, str]]:
    """The platform with a login and a token for each role, until the tests are done."""
    file = platform.tree / "access.yaml"
    before = file.read_text()
    openid = f"{{openid: {{issuer: '{provider}', client_id: ingest}}}}"
    file.write_text(f"url: {platform.platform.url}\nlogin: {openid}\n{before}")
    done = platform.ingest("client-secret", text="client-secret-of-the-tests\n")
    assert done.returncode == 0, done.stderr
    made = {}
    for name, options in {
        "ci": ["--role=admin"],
        "viewer": [],
        "stripe": ["--role=editor", "--location=stripe"],
    }.items():
        done = platform.ingest("token", name, *options)
        assert done.returncode == 0, done.stderr
        made[name] = done.stdout.strip().removeprefix("INGEST_TOKEN=")
    yield made
    file.write_text(before)
    assert platform.ingest("access").returncode == 0


def by(platform: Tested, token: str) -> Platform:
    return replace(platform.platform, token=token)


@pytest.fixture
def known(platform: Tested, tokens: dict[str, str]) -> Tested:
    """The platform, called with an admin's token."""
    return replace(platform, settings=platform.settings | {"INGEST_TOKEN": tokens["ci"]})


@contextmanager
def logged_in(browser: Browser, platform: Tested, name: str, path: str = "/", url: str = "") -> Iterator[Page]:
    """A separate browser in which somebody opened a page of the UI and logged in at the provider."""
    url = url or platform.platform.url
    # Chromium has a list of authorities of its own: the certificate is checked without it.
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=url, ignore_https_errors=True)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT)
    page.goto(path)
    page.fill("input[name=login]", name)
    page.fill("input[name=password]", "any")
    page.click("button[type=submit]")
    page.click("button[type=submit]")  # consent
    page.wait_for_url(f"{url}/**")
    yield page
    context.close()


def test_a_token_does_what_its_role_allows(platform: Tested, tokens: dict[str, str]) -> None:
    with pytest.raises(PlatformError, match="set INGEST_TOKEN"):
        platform.platform.locations()
    assert by(platform, tokens["viewer"]).locations().keys() == {"github", "stripe"}
    for name in ("viewer", "stripe"):
        with pytest.raises(PlatformError, match="may not do this: this needs the role launcher of github"):
            by(platform, tokens[name]).launch("github", JOB)


@pytest.fixture(scope="module")
def launched(platform: Tested, tokens: dict[str, str]) -> str:
    """A run that was launched with a token."""
    return by(platform, tokens["ci"]).launch("github", JOB)


def test_a_run_says_who_launched_it(known: Tested, launched: str) -> None:
    assert known.platform.run(launched).tags["user"] == "ci"


def test_a_token_is_revoked_at_once(known: Tested) -> None:
    token = known.ingest("token", "brief").stdout.strip().removeprefix("INGEST_TOKEN=")
    assert by(known, token).locations()
    assert known.ingest("token", "brief", "--revoke").returncode == 0
    with pytest.raises(PlatformError, match="not valid"):
        by(known, token).locations()


def test_a_token_stands_nowhere(known: Tested, tokens: dict[str, str]) -> None:
    assert tokens["ci"] not in (known.tree / "access.yaml").read_text()
    for container in known.compose("ps", "--all", "--quiet").split():
        assert tokens["ci"] not in docker("logs", container) + docker("inspect", container)
    dump = ["exec", "-T", "postgres", "pg_dump", "--username=postgres"]
    assert not [name for name in ("dagster", "audit") if tokens["ci"] in known.compose(*dump, name)]


def test_a_file_that_is_not_valid_changes_nothing(known: Tested) -> None:
    file = known.tree / "access.yaml"
    before = file.read_text()
    file.write_text(before + "groups: {a: owner}\n")
    try:
        done = known.ingest("access")
    finally:
        file.write_text(before)
    assert done.returncode == 1
    assert re.fullmatch(r"access.yaml: .*\n", done.stderr)
    assert known.platform.locations()


@pytest.mark.parametrize(("name", "role"), PEOPLE.items())
def test_a_person_logs_in_and_comes_to_the_page_that_they_asked_for(
    known: Tested, tokens: dict[str, str], browser: Browser, name: str, role: str
) -> None:
    with logged_in(browser, known, name, "/runs?q=a") as page:
        assert page.url == f"{known.platform.url}/runs?q=a"
        told = page.request.get("/auth/status").json()
        assert (told["viewer"], told["roles"]) == (f"{name}@example.com", [role])
        (cookie,) = [one for one in page.context.cookies() if one["name"] == "ingest_session"]
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Lax"


def test_who_has_no_role_is_told_so(known: Tested, tokens: dict[str, str], browser: Browser) -> None:
    with logged_in(browser, known, "nils") as page:
        expect(page.locator("body")).to_contain_text("none of their groups has a role")
        assert page.request.get("/").status == 401


def test_a_viewer_sees_the_button_and_cannot_press_it(known: Tested, tokens: dict[str, str], browser: Browser) -> None:
    before = runs(known)
    with logged_in(browser, known, "vera", f"/locations/github/jobs/{JOB}") as page:
        button = page.locator("button", has_text="Materialize").first
        expect(button).to_be_visible()
        expect(button).to_be_disabled()
        button.hover(force=True)
        expect(page.get_by_text("You do not have permission").first).to_be_visible()
        answer = page.request.post("/graphql", data={"query": LAUNCH})  # without the page
        assert "UnauthorizedError" in answer.text()
    assert runs(known) == before


def test_a_team_launches_its_own_and_not_anothers(known: Tested, tokens: dict[str, str], browser: Browser) -> None:
    with logged_in(browser, known, "stan", f"/locations/github/jobs/{JOB}") as page:
        expect(page.locator("button", has_text="Materialize").first).to_be_disabled()
        page.goto("/locations/stripe/jobs/stripe_payments_ingest")
        expect(page.locator("button", has_text="Materialize").first).to_be_enabled()
    with logged_in(browser, known, "gita", f"/locations/github/jobs/{JOB}") as page:
        page.locator("button", has_text="Materialize").first.click()
        run = known.wait_for_run("user", "gita@example.com", seconds=30)
        assert run.job == JOB
        page.goto(f"/runs/{run.id}")
        expect(page.get_by_text("Success", exact=True).first).to_be_visible()


def test_each_person_may_switch_what_is_theirs(known: Tested, tokens: dict[str, str], browser: Browser) -> None:
    """Two teams, a viewer and an admin look at the same page."""
    seen = {}
    for name in PEOPLE:
        with logged_in(browser, known, name) as page:
            page.set_viewport_size({"width": 960, "height": 800})
            switches = {place: _switch(page, place) for place in ("github", "stripe")}
            for _ in range(3):  # Chromium drops its requests when a container's network interface comes or goes
                page.goto("/automation")
                with suppress(PlaywrightTimeoutError):
                    for switch in switches.values():
                        switch.and_(page.locator(":checked")).wait_for(state="attached", timeout=TIMEOUT / 3)
                    break
            for location, switch in switches.items():
                expect(switch).to_be_checked()
                expect(switch).to_be_enabled(enabled=location in MAY_SWITCH[name])
            seen[name] = page.screenshot(clip={"x": 240, "y": 0, "width": 720, "height": 650})
    page = browser.new_page(viewport={"width": 1440, "height": 1380})
    page.set_content("".join(map(_captioned, PEOPLE.items(), seen.values())))
    picture(page, "ui-access.png")
    page.close()


def _switch(page: Page, location: str) -> Locator:
    schedule = f"/locations/{location}/schedules/{location}_audit_schedule"
    return page.locator(f"a[href='{schedule}'] + div input[type=checkbox]")


def _captioned(person: tuple[str, str], png: bytes) -> str:
    """A quarter of a page."""
    image = f"<img width=100% src='data:image/png;base64,{b64encode(png).decode()}'>"
    return f"<div style='float:left;width:48%;margin:1%;font:20px sans-serif'>{person[0]}, {person[1]}{image}</div>"


def test_a_page_of_another_origin_does_not_borrow_the_session(
    known: Tested, tokens: dict[str, str], browser: Browser
) -> None:
    before = runs(known)
    with logged_in(browser, known, "anna") as page:
        for host in ("127.0.0.1", "localhost"):
            heard = attack(page.context, known, host)
            assert "OPEN" not in heard
    assert runs(known) == before


def test_a_logout_ends_the_session_and_its_cookie(known: Tested, tokens: dict[str, str], browser: Browser) -> None:
    with logged_in(browser, known, "anna", "/auth/") as page:
        (cookie,) = [one for one in page.context.cookies() if one["name"] == "ingest_session"]
        page.click("button")
        expect(page.locator("body")).to_contain_text("You are logged out")
        kept = {"Cookie": f"ingest_session={cookie['value']}"}
        assert page.request.get("/server_info", headers=kept).status == 401


def test_the_code_of_another_browsers_login_is_worth_nothing(
    known: Tested, tokens: dict[str, str], browser: Browser
) -> None:
    with logged_in(browser, known, "anna"):
        pass
    page = browser.new_page(base_url=known.platform.url)
    answer = page.request.get("/auth/callback?code=of-another&state=of-another")
    assert answer.status == 400
    assert not page.context.cookies()
    page.close()


def test_the_trail_tells_who_did_what(known: Tested, tokens: dict[str, str]) -> None:
    rows = [row[1:6] for row in audit.shown(known, last=1000)]
    for wanted in (
        ("gita@example.com", "session", "launchPipelineExecution", "github"),  # what the UI calls it
        ("ci", "token", "launchRun", "github"),
        ("anna@example.com", "session", "logout", ""),
        (audit.whoami(), "this machine", "make token", ""),
        (audit.whoami(), "this machine", "revoke token", ""),
    ):
        assert wanted in {tuple(row[:4]) for row in rows}
    assert ("vera@example.com", "session", "launchRun", "github", "refused") in rows
    told = json.loads(known.ingest("audit", "--who=ci", "--json").stdout)
    assert {row["who"] for row in told} == {"ci"}


@pytest.mark.parametrize(
    "statement", ["DELETE FROM public.trail", "UPDATE public.trail SET who = 'nobody'", "TRUNCATE public.trail"]
)
def test_the_trail_is_only_added_to(platform: Tested, statement: str) -> None:
    with pytest.raises(EngineError) as error:
        platform.sql("audit", statement)
    assert "can only be added to" in error.value.output


def test_purge_leaves_the_trail(known: Tested, launched: str) -> None:
    known.platform.ended(launched)
    delete = f'mutation {{ deleteRun(runId: "{launched}") {{ __typename }} }}'
    assert known.platform.query(delete)["deleteRun"]["__typename"] == "DeletePipelineRunSuccess"
    wait_for(lambda: not known.platform.runs(runIds=[launched]), "the run to be gone", 10)
    rows = [row for row in audit.shown(known, last=1000) if launched in f"{row[5]} {row[6]}"]
    assert [row[3] for row in rows] == ["launchRun", "deleteRun"]


# Over TLS


def test_without_an_https_address_nothing_is_served_over_tls(known: Tested) -> None:
    with pytest.raises(EngineError) as error:
        known.compose("--profile=tls", "run", "--rm", "-T", "--no-deps", "tls")
    assert "access.yaml has no url that begins with https://: write it there and run `make access`" in str(error.value)


@dataclass(frozen=True)
class Secured:
    """The platform over TLS, and a client that trusts its certificate authority."""

    platform: Tested
    trusting: ssl.SSLContext
    token: str

    def get(self, path: str, trusting: ssl.SSLContext) -> int:
        request = Request(OVER_TLS + path, headers={"Authorization": f"Bearer {self.token}"})  # noqa: S310
        with urlopen(request, context=trusting, timeout=10) as answer:  # noqa: S310
            return int(answer.status)


@pytest.fixture(scope="module")
def secured(platform: Tested, tokens: dict[str, str]) -> Iterator[Secured]:
    file = platform.tree / "access.yaml"
    before = file.read_text()
    file.write_text("tls: internal\n" + before.replace(f"url: {platform.platform.url}\n", f"url: {OVER_TLS}\n"))
    assert platform.ingest("access").returncode == 0
    ports = {"INGEST_HTTPS_PORT": str(HTTPS), "INGEST_HTTP_PORT": str(HTTP)}
    try:
        platform.compose("--profile=tls", "up", "--detach", "--wait", "--no-deps", "tls", **ports)
        root = ["exec", "-T", "tls", "cat", "/data/caddy/pki/authorities/local/root.crt"]
        authority = platform.compose("--profile=tls", *root)
        yield Secured(platform, ssl.create_default_context(cadata=authority), tokens["viewer"])
    finally:
        platform.compose("--profile=tls", "rm", "--force", "--stop", "tls")
        file.write_text(before)
        assert platform.ingest("access").returncode == 0


def test_the_certificate_is_the_platforms_own(secured: Secured) -> None:
    assert secured.get("/server_info", secured.trusting) == 200
    with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
        secured.get("/server_info", ssl.create_default_context())


def test_plain_http_leads_to_the_same_page_over_tls(secured: Secured) -> None:
    connection = HTTPConnection("localhost", HTTP, timeout=10)
    connection.request("GET", "/runs?q=1")
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (308, f"{OVER_TLS}/runs?q=1")


OPEN_SOCKET = """url => new Promise(done => {
  const socket = new WebSocket(url, "graphql-ws");
  socket.onopen = () => done("open");
  socket.onerror = () => done("refused");
})"""


def test_over_tls_a_person_logs_in_and_sees_what_goes_on(secured: Secured, browser: Browser) -> None:
    with logged_in(browser, secured.platform, "vera", "/runs?q=a", OVER_TLS) as page:
        assert page.url == f"{OVER_TLS}/runs?q=a"
        own = [one for one in page.context.cookies() if one["domain"] == "localhost"]
        assert [one["name"] for one in own if one["httpOnly"]] == ["__Host-ingest_session"]
        assert all(one["secure"] for one in own)
        assert page.evaluate(OPEN_SOCKET, f"{OVER_TLS}/graphql".replace("https", "wss")) == "open"
