"""README.md and docs/kubernetes.md, word for word: their files and commands. Changed are the
images' names and the namespace, and passwords are typed by nobody."""

import os
import re
import subprocess
import time

import pytest
import yaml

import cluster

README, TEXT = ((cluster.ROOT / name).read_text() for name in ("README.md", "docs/kubernetes.md"))


class Reader(cluster.Release):
    """Somebody with a release named as in the text, in a directory with the files of the text."""

    NAME = "mqtt"

    def __init__(self, directory, **values):
        super().__init__(**values)
        self.directory = directory
        programs = directory / "programs"
        programs.mkdir()
        (directory / "helm").mkdir()
        (directory / "helm/ferrymq").symlink_to(cluster.CHART)
        (programs / "helm").symlink_to(cluster.command("which", "helm4").stdout.strip())
        broker = programs / "ferrymq"
        broker.write_text(
            "#!/bin/sh\nexec ctr --namespace k8s.io run --rm --mount type=bind,src=$PWD,dst=/here,options=rbind:rw "
            f"--cwd /here {cluster.IMAGES}/ferrymq:before reader-$$ /usr/bin/ferrymq \"$@\"\n")
        broker.chmod(0o755)
        # For the image's user.
        directory.chmod(0o777)
        self.path_variable = f"{programs}:{os.environ['PATH']}"

    def file(self, name, **values):
        """Writes a file that the text has; values are laid over it."""
        content = cluster.merged(yaml.safe_load(block("yaml", f"# {name}")), values)
        (self.directory / name).write_text(cluster.json.dumps(content))
        return content

    def does(self, commands, timeout=600):
        """Commands as they are in the text."""
        commands = re.sub(r"-n mqtt\b", f"-n {self.namespace}", commands)
        commands = re.sub(r"create namespace mqtt\b.*", "", commands)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", commands], cwd=self.directory, text=True, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=os.environ | {"PATH": self.path_variable})
        assert done.returncode == 0, f"{commands}\n{done.stdout}"
        return done.stdout


def block(language, having, text=TEXT):
    """The one block of the text that has these words."""
    found = [b for b in re.findall(rf"```{language}\n(.*?)```", text, re.S) if having in b]
    assert len(found) == 1, (having, found)
    return found[0]


@pytest.fixture
def reader(tmp_path):
    made = []

    def reader(**values):
        made.append(Reader(tmp_path, **values))
        return made[-1]

    yield reader
    for one in made:
        one.close()


# What the node has instead of a registry.
HERE = {key: cluster.VALUES[key] for key in ("image", "tests", "backup")}


def test_installed_and_tested_as_the_readme_has_it(reader, seen):
    cluster.make_volume("10Gi")
    one = reader()
    here = one.directory / "here.yaml"
    here.write_text(cluster.json.dumps(cluster.merged(HERE, {"image": {"repository": "ferrymq"}})))
    install, test = block("sh", "helm install mqtt", README).splitlines()
    began = time.time()
    one.does(f"{install.replace('REGISTRY', cluster.IMAGES)} -f here.yaml -n mqtt")
    one.wait_ready()
    took = time.time() - began
    assert "what was acknowledged has arrived" in one.does(f"{test} -n mqtt")
    seen("README.md: `helm install`, `helm test`", note=f"serves {took:.0f} s after `helm install`")


def test_installed_with_passwords_and_tested_with_the_drill(reader, seen):
    cluster.make_volume("20Gi")
    one = reader()
    one.file("mqtt.yaml", **HERE)
    one.does(block("sh", "ferrymq passwd").replace(
        "ferrymq passwd passwords alice", "echo secret-one | ferrymq passwd --password-stdin passwords alice"))
    began = time.time()
    one.does(block("sh", "install mqtt"))
    one.wait_ready()
    took = time.time() - began
    said = one.does(block("sh", "test mqtt").replace("password=...", "password=secret-one"))
    assert "what was acknowledged has arrived" in said, said
    looks = block("sh", "kubectl -n mqtt logs mqtt-ferrymq-0 -c config-check")
    one.does("\n".join(line for line in looks.splitlines() if "--previous" not in line))
    # The words about a wrong configuration that an upgrade stumbles over.
    with pytest.raises(AssertionError):
        one.does("helm -n mqtt upgrade mqtt helm/ferrymq -f mqtt.yaml --set config.session.max_expiri=1d")
    assert "max_expiri" in one.does(block("sh", "logs job/mqtt-ferrymq-config-check"))
    seen("docs/kubernetes.md: install with passwords, upgrade, `helm test` with the drill",
         note=f"served {took:.0f} s after `helm install`; {drill(said)}")


def drill(said):
    """The drill's last line that has figures."""
    return "`" + [line for line in said.splitlines() if "lost" in line][-1].strip() + "`"


def test_a_backup_is_restored_onto_the_volume(reader, traffic, seen):
    for size in ("20Gi", "60Gi"):
        cluster.make_volume(size)
    one = reader()
    values = yaml.safe_load(block("yaml", "keep: 7"))
    one.file("mqtt.yaml", auth={"allowAnonymous": True, "existingSecret": ""}, **cluster.merged(HERE, values))
    one.does(block("sh", "install mqtt"))
    one.wait_ready()
    flow = traffic(one)
    acknowledged = flow.pause()
    said = one.does(block("sh", "--from=cronjob/mqtt-ferrymq-backup backup-now"))
    copy = re.search(r"mqtt-ferrymq-\d+T\d+Z\.db", said).group()
    later = flow.more()

    restore = (one.directory / "restore.yaml")
    restore.write_text(re.sub(r"mqtt-ferrymq-\d+T\d+Z\.db", copy, block("yaml", "# restore.yaml"))
                       .replace("registry.example/ferrymq:0.1.0", f"{cluster.IMAGES}/ferrymq:before"))
    one.does(block("sh", "apply -f restore.yaml"))
    one.wait_ready()
    account = flow.collect(acknowledged)
    assert not later & account.away.keys(), "not the copy: it has what came later"
    seen("docs/kubernetes.md: a backup restored onto the volume", account.check(),
         note=f"{len(later)} messages that came after it are not in it, as the text says")
