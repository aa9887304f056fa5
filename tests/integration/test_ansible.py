"""The playbooks without a device: what they say they take, and the settings that they would write."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from edge.configure import load_config
from edge.security.keys import read_keys

ROOT = Path(__file__).parents[2]
ANSIBLE = ROOT / "ansible"
EXAMPLE = ANSIBLE / "inventory" / "example" / "hosts.yml"
PLAYBOOKS = ("site", "update", "rollback", "verify", "status")
ROLES = sorted(path.name for path in (ANSIBLE / "roles").iterdir())
RENDER = """
- hosts: all
  connection: local
  gather_facts: false
  roles:
    - role: preact_edge
      when: false
  tasks:
    - ansible.builtin.set_fact:
        preact_edge_keys_used: {stdout: "{{ used | default('') }}"}
    - ansible.builtin.copy:
        content: "{{ item.content }}"
        dest: "{{ out }}/{{ inventory_hostname }}.{{ item.name }}"
        mode: "0600"
      loop:
        - {name: toml, content: "{{ preact_edge_toml }}"}
        - {name: keys, content: "{{ {'keys': preact_edge_login_keys} | preact_edge_toml }}"}
        - {name: secret, content: "{{ preact_edge_toml_is_secret }}"}
        - {name: conf, content: "{{ lookup('ansible.builtin.template', conf) }}"}
"""

PREFLIGHT = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.import_role:
        name: preact_edge
        tasks_from: preflight
"""


def run_tool(name: str, *words: object, home: Path) -> subprocess.CompletedProcess[str]:
    """A program of ansible-core, with a home of its own and this checkout's settings."""
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "ANSIBLE_LOCAL_TEMP": str(home)}
    environ["ANSIBLE_CONFIG"] = str(ANSIBLE / "ansible.cfg")
    command = [sys.executable, "-W", "ignore", "-m", "ansible", name.removeprefix("ansible-"), *map(str, words)]
    return subprocess.run(command, env=environ, cwd=home, capture_output=True, text=True, timeout=100, check=False)


def options(role: str) -> dict[str, object]:
    specs = yaml.safe_load((ANSIBLE / "roles" / role / "meta" / "argument_specs.yml").read_text())["argument_specs"]
    return {name: option for entry in specs.values() for name, option in entry["options"].items()}


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_is_described(role):
    defaults = ANSIBLE / "roles" / role / "defaults" / "main.yml"
    variables = yaml.safe_load(defaults.read_text()) if defaults.exists() else {}
    described = options(role)
    assert set(variables) <= set(described) | {"base_services", "base_other_clock", "base_timesyncd"}
    assert all(option["description"] for option in described.values())


def test_nothing_but_ansibles_own_modules_is_needed_and_no_error_is_ignored():
    texts = {file: file.read_text() for file in ANSIBLE.rglob("*.yml")}
    assert len(texts) > 20
    for file, text in texts.items():
        assert "ignore_errors" not in text, file
        assert "community." not in text, file


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_a_playbook_can_be_read(tmp_path, playbook):
    done = run_tool("playbook", ANSIBLE / f"{playbook}.yml", "-i", EXAMPLE, "--syntax-check", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_is_a_fleet(tmp_path):
    done = run_tool("inventory", "-i", EXAMPLE, "--list", home=tmp_path)
    assert done.returncode == 0, done.stderr
    fleet = json.loads(done.stdout)
    assert sorted(fleet["preact_edge"]["children"]) == ["canary", "jetson", "pi"]
    assert sorted(fleet["_meta"]["hostvars"]) == ["door-3", "gate-1", "yard-1"]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the role would write for the example's devices and for some with more to say, a file for each and kind."""
    home = tmp_path_factory.mktemp("a fleet")
    out = home / "out"
    out.mkdir()
    more = {
        "plain": {"preact_edge_plain_listener": True},
        "layers": {
            "preact_edge_settings_fleet": {"camera": {"fps": 5, "width": 640}, "log_level": "debug"},
            "preact_edge_settings_site": {"camera": {"fps": 6}},
            "preact_edge_settings": {"camera": {"source": "rtsp://user:secret@192.0.2.9/1"}, "log_level": None},
        },
        "keys": {
            "preact_edge_login_keys": {"backend-1": {"role": "viewer", "secret": "ab" * 32}},
            "preact_edge_allowed_clients": ["192.0.2.0/24", "2001:db8::/32"],
        },
        "keys-of-before": {"used": "login_keys = somewhere"},
        "pipeline": {"preact_edge_settings": {"camera": {"source": "rtspsrc user-pw=secret ! appsink name=sink"}}},
        "door-3": {"preact_edge_settings": {"camera": {"source": "/dev/video0"}, "gpio": {"quiet": []}}},
        "chrony": {"board_clocks": {"stdout": "Id=chrony.service\nLoadState=loaded\nActiveState=active"}},
    }
    inventory = home / "more.yml"
    inventory.write_text(yaml.safe_dump({"preact_edge": {"hosts": more}}))
    playbook = home / "render.yml"
    playbook.write_text(RENDER)
    given = {
        "out": str(out),
        "conf": str(ANSIBLE / "roles" / "preact_edge" / "templates" / "10-site.conf.j2"),
        "preact_edge_plan": {"problem": "", "manifest": {"release": "0.4.0", "files": {"models/x.tflite": {}}}},
        "ansible_python_interpreter": sys.executable,
    }
    clocks = home / "group_vars" / "all.yml"
    clocks.parent.mkdir()
    clocks.write_text(yaml.safe_dump({"board_clocks": {"stdout": "Id=systemd-timesyncd.service\nActiveState=active"}}))
    words = ("-i", EXAMPLE, "-i", inventory, "--extra-vars", json.dumps(given))
    done = run_tool("playbook", playbook, *words, home=home)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.parametrize("device", ["door-3", "gate-1", "yard-1", "plain", "layers", "keys", "chrony"])
def test_the_program_takes_the_settings(rendered, device):
    config = load_config(rendered / f"{device}.toml")
    assert config.device.id == device
    first = config.listeners[0]
    assert (first.host, first.port, first.tls, first.auth) == ("0.0.0.0", 8443, True, "mtls")
    assert config.security.private_key == "${CREDENTIALS_DIRECTORY}/device.key"
    assert config.storage.models_dir == "/opt/preact-edge/current/models"


def test_without_a_word_only_mutual_tls_is_listened_for(rendered):
    assert len(load_config(rendered / "door-3.toml").listeners) == 1
    plain = load_config(rendered / "plain.toml").listeners[1]
    assert (plain.port, plain.tls, plain.auth, plain.framing, plain.allow_insecure) == (
        8080,
        False,
        "none",
        "length",
        True,
    )


def test_settings_of_group_and_host_are_merged_key_by_key(rendered):
    config = load_config(rendered / "layers.toml")
    assert (config.camera.fps, config.camera.width, config.log_level) == (6, 640, "info")
    assert config.camera.source == "rtsp://user:secret@192.0.2.9/1"
    pi = load_config(rendered / "yard-1.toml")
    assert pi.camera.source == "rtsp://192.0.2.40/stream1"
    assert pi.gpio.buzzer_pin == 17


def test_a_device_of_the_example_keeps_what_its_groups_say(rendered):
    config = load_config(rendered / "door-3.toml")
    assert config.camera.source == "/dev/video0", "of its own"
    assert config.gpio.buzzer_pin == 17, "of the group pi"
    assert config.camera.fps == 10, "of the whole fleet"


def test_a_device_whose_camera_nobody_named_is_refused(tmp_path):
    hosts = {
        "named": {"preact_edge_settings": {"camera": {"source": "scene"}}},
        "unnamed": {"preact_edge_settings": {"camera": {"fps": 5}}},
        "empty": {"preact_edge_settings": {"camera": None}},
    }
    inventory, playbook, signers = tmp_path / "hosts.yml", tmp_path / "preflight.yml", tmp_path / "release.pub"
    inventory.write_text(yaml.safe_dump({"preact_edge": {"hosts": hosts}}))
    playbook.write_text(PREFLIGHT)
    signers.write_text("")
    command = Path(sys.executable).with_name("preact-edge")
    plan = {"problem": "", "manifest": {"release": "0.4.0", "files": {}}}
    given = {"preact_edge_plan": plan, "preact_edge_command": str(command)}
    done = run_tool("playbook", playbook, "-i", inventory, "--extra-vars", json.dumps(given), home=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert sorted(re.findall(r"fatal: \[(\S+)\]", said)) == ["empty", "unnamed"], said
    assert "camera.source is not set in preact_edge_settings of unnamed" in said


def test_settings_with_a_password_are_not_shown(rendered):
    shown = {file.stem: file.read_text() for file in rendered.glob("*.secret")}
    assert shown["layers"] == "True"
    assert shown["pipeline"] == "True"
    assert shown["yard-1"] == "False"


def test_login_keys_reach_the_service_as_a_credential(rendered):
    keys = read_keys(rendered / "keys.keys")
    assert keys["backend-1"].role == "viewer"
    assert load_config(rendered / "keys.toml").security.login_keys == "${CREDENTIALS_DIRECTORY}/login-keys.toml"
    conf = (rendered / "keys.conf").read_text().splitlines()
    assert "LoadCredential=login-keys.toml:/etc/preact-edge/credentials/login-keys.toml" in conf
    assert "IPAddressDeny=any" in conf
    assert "IPAddressAllow=localhost 192.0.2.0/24 2001:db8::/32" in conf


def test_login_keys_stay_until_the_settings_that_run_ask_for_none(rendered):
    assert "LoadCredential=login-keys.toml" in (rendered / "keys-of-before.conf").read_text()
    assert "LoadCredential" not in (rendered / "plain.conf").read_text()


def test_a_device_whose_clock_something_else_keeps_may_ask_the_kernel(rendered):
    assert "SystemCallFilter=adjtimex" in (rendered / "chrony.conf").read_text()
    assert (rendered / "door-3.conf").read_text() == "# Made by Ansible.\n[Service]\n"


def test_fleet_tells_its_playbooks():
    done = subprocess.run([str(ROOT / "deploy" / "fleet")], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    for playbook in PLAYBOOKS:
        assert f"\n  {playbook} " in done.stderr
