/**
 * The offline bundle on machines whose only network interface is loopback: as a Debian package, as a plain program, as a
 * container, and what its script says if it cannot install.
 */
import { $ } from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { projectVersion } from "../../scripts/built-binary.ts";
import { randomHex } from "../../scripts/node-process.ts";
import { must } from "../../src/util/assert.ts";
import { makeAuthority } from "../e2e/certificates.ts";
import { Podman } from "../containers/podman.ts";
import { builtPackages, makeNext, trackedFiles } from "./built-packages.ts";
import { debianImage, DebianMachine, decision, firstDecision, policy } from "./debian-machine.ts";

describe("the offline bundle", () => {
  let podman: Podman;
  /** The unpacked bundle, in a folder that the machines share. */
  let folder = "";
  let withSystemd: DebianMachine;
  let plain: DebianMachine;
  const install = "/packages/bundle/install";
  const newerInstall = "/packages/next/install";

  beforeAll(async () => {
    const { bundle } = await builtPackages();
    podman = new Podman();
    const packages = join(podman.folder, "packages");
    folder = join(packages, "bundle");
    mkdirSync(folder, { recursive: true });
    await $`tar --strip-components=1 -xzf ${bundle} -C ${folder}`;
    writeFileSync(join(packages, "policy.polar"), policy);
    await makeNextBundle(folder, join(packages, "next"));
    const image = await debianImage(podman);
    withSystemd = await DebianMachine.start(podman, { image, name: "systemd", withSystemd: true, packages });
    plain = await DebianMachine.start(podman, {
      image,
      name: "plain",
      withSystemd: false,
      packages,
      sharedWith: withSystemd,
    });
  }, 480_000);

  afterAll(async () => {
    // It depends on the other one.
    await plain.remove();
    await podman.removeAll();
  }, 400_000);

  test("has a checksum of each file, and everything that it should have", async () => {
    expect((await $`sha256sum --check --quiet SHA256SUMS`.cwd(folder).quiet().nothrow()).exitCode).toBe(0);
    const listed = readFileSync(join(folder, "SHA256SUMS"), "utf8")
      .trim()
      .split("\n")
      .map((line) => line.slice(66));
    const files = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
    expect(listed.toSorted()).toEqual(files.filter((name) => name !== "SHA256SUMS").toSorted());
    const { debianPackage } = await builtPackages();
    const folders = ["manual", "kubernetes", "observability"].map((name) => `appliance/${name}`);
    const tracked = (await trackedFiles("compose", ...folders)).map((path) => path.replace(/^appliance\//, ""));
    expect(tracked).toContain("compose/mosquitto/acl");
    expect(tracked).toContain("manual/install.md");
    const expected = [
      ...["install", "ostiary", "ostiary-image.tar", "ostiary.service", "ostiary.yaml", "ostiary.cdx.json"],
      ...["LICENSE", "LICENSES.txt", "CHANGELOG.md", "VERSION", "ARCHITECTURE", "SHA256SUMS", basename(debianPackage)],
      ...[...tracked, "manual/language.md"],
    ];
    expect(files.toSorted()).toEqual(expected.toSorted());
  });

  test("has the image that its compose files name", async () => {
    const manifest = await $`tar -xOf ostiary-image.tar manifest.json`.cwd(folder).json();
    const [{ RepoTags: tags }] = manifest as [{ readonly RepoTags: readonly string[] }];
    const names = tags.map((tag) => tag.slice(tag.lastIndexOf("/") + 1));
    expect(new Set(names)).toEqual(new Set([`ostiary:${projectVersion()}`, "ostiary:latest"]));
    const files = readdirSync(join(folder, "compose")).filter((name) => name.endsWith(".yaml"));
    const wanted = files.map((name) => {
      const text = readFileSync(join(folder, "compose", name), "utf8");
      return /\$\{NODE_IMAGE:-([^}]+)\}/.exec(text)?.[1];
    });
    expect(new Set(wanted)).toEqual(new Set(["ostiary:latest"]));
  });

  test.each([
    ["without root", `setpriv --reuid 1000 ${install} --role primary`, 1, "it needs root"],
    ["with an unknown option", `${install} --rolle primary`, 2, "unknown option `--rolle`"],
    ["with an unknown role", `${install} --role secondary`, 2, "there is no role `secondary`"],
    ["with a value that is no port", `${install} --role primary --port 80a`, 2, "`80a` is no port"],
    ["without a role, and nobody to ask", install, 2, "--role is missing"],
    ["as an edge without a primary, and nobody to ask", `${install} --role edge`, 2, "an edge needs --primary"],
    [
      "as an edge of a primary that does not answer",
      `${install} --role edge --primary http://127.0.0.1:9`,
      1,
      "no primary answers at `http://127.0.0.1:9`",
    ],
    [
      "with a changed file",
      "cp -rs /packages/bundle /tmp/changed; cd /tmp/changed; rm LICENSE manual/keys.md; echo >manual/keys.md; ./install --role primary",
      1,
      "copy the bundle again:\nLICENSE\nmanual/keys.md\n",
    ],
    [
      "without checksums",
      "mkdir /tmp/sums; cd /tmp/sums; cp /packages/bundle/install /packages/bundle/ARCHITECTURE .; ./install --role primary",
      1,
      "SHA256SUMS is missing or has no line for install",
    ],
    [
      "for another processor",
      "mkdir /tmp/other; cd /tmp/other; cp /packages/bundle/install .; echo mips >ARCHITECTURE; ./install --role primary",
      1,
      "this bundle is for mips, and this machine is",
    ],
    [
      "on a full disk",
      `mount -t tmpfs -o size=1m tmpfs /usr/local/bin; ${install} --role primary; status=$?; umount /usr/local/bin; exit $status`,
      1,
      "/usr/local/bin has 1024 KiB free, and",
    ],
    [
      "if the port is taken",
      `/packages/bundle/ostiary dev /packages/policy.polar --port 8080 >/dev/null 2>&1 & node=$!
until /packages/bundle/ostiary health >/dev/null 2>&1; do kill -0 $node || exit 9; done
${install} --role primary; status=$?; kill $node; wait $node; exit $status`,
      1,
      "port 8080 is taken by another program",
    ],
    ["if nothing is installed, when it shall be removed", `${install} --uninstall`, 1, "has installed nothing here"],
  ])(
    "refuses to install %s, and changes nothing",
    async (_case, script, status, message) => {
      const refused = await plain.tryRun(script);
      expect(refused.output).toContain(message);
      expect(refused.status).toBe(status);
      expect(await plain.run("ls -d /etc/ostiary /usr/local/bin/ostiary /var/lib/ostiary 2>/dev/null || true")).toBe(
        "",
      );
    },
    300_000,
  );

  test("installs a primary as a Debian package, which decides, and upgrades it", async () => {
    // On a terminal it asks.
    const output = await withSystemd.run(`echo primary | script --quiet --return --command ${install} /dev/null`);
    expect(output).toContain("role of this node (primary, edge or fallback):");
    expect(output).toContain(`Ostiary ${projectVersion()} runs (package): http://127.0.0.1:8080`);
    expect(await withSystemd.run(firstDecision("ostiary"))).toEndWith("Allowed\n");
    expect(await withSystemd.run("ls /sys/class/net")).toBe("lo\n");
    const keys = await withSystemd.run("cat /etc/ostiary/ostiary.env");
    await withSystemd.run("echo '# mine' >>/etc/ostiary/ostiary.yaml");
    const upgrade = await withSystemd.run(newerInstall);
    expect(upgrade).toContain("using the settings and keys in /etc/ostiary/ostiary.env");
    expect(upgrade).toContain(`Ostiary ${nextVersion} runs (package)`);
    expect(await withSystemd.run("dpkg-query --show --showformat '${Version}' ostiary")).toBe(nextVersion);
    expect(await withSystemd.run("cat /etc/ostiary/ostiary.env")).toBe(keys);
    expect(await withSystemd.run("tail -n 1 /etc/ostiary/ostiary.yaml")).toBe("# mine\n");
    expect(await withSystemd.run(decision("ostiary"))).toBe("Allowed\n");
    const other = await withSystemd.tryRun(`${install} --role edge`);
    expect(other.output).toContain("says OSTIARY_ROLE=primary, so --role edge is not used");
  }, 400_000);

  test("installs an edge as a plain program, which decides, upgrades it, and removes it", async () => {
    const keys = await withSystemd.run("cat /etc/ostiary/ostiary.env");
    // With another node key, as while it is rotated.
    const [, nodeKey] = must(/^OSTIARY_NODE_KEY=(.*)$/m.exec(keys));
    const bothKeys = `OSTIARY_NODE_KEY="${nodeKey} ${randomHex(32)}"`;
    await plain.run(`umask 077; cat >/root/primary.env <<'END'\n${bothKeys}\nEND`);
    const words = "--role edge --primary http://127.0.0.1:8080 --port 8081 --node-key-file /root/primary.env";
    const wrong = `OSTIARY_NODE_KEY=${randomHex(32)} ${install} ${words.replace(/ --node-key-file .*/, "")}`;
    const refused = await plain.tryRun(wrong);
    expect([refused.status, refused.output]).toEqual([1, expect.stringContaining("does not accept this node key")]);
    expect(await plain.run("ls -d /etc/ostiary 2>/dev/null || true")).toBe("");
    // It asks on a terminal, which does not show the key, and changes nothing without an answer.
    const typed = (answers: string): string =>
      `(for word in edge http://127.0.0.1:8080 ${answers}; do sleep 1; echo $word; done) | script --quiet --return --command "${install} --port 8081" /dev/null`;
    const denied = await plain.tryRun(typed(randomHex(32)));
    expect([denied.status, denied.output]).toEqual([1, expect.stringContaining("does not accept this node key")]);
    expect(denied.output).toContain("URL of the primary, such as");
    const installed = await plain.run(`${install} ${words}`);
    expect(installed).toContain("runs (binary): http://127.0.0.1:8081");
    // The primary has the port of MQTT on the same machine.
    expect(installed).toContain("port 1883 is taken by another program");
    expect(await plain.run("grep OSTIARY_MQTT_PORT /etc/ostiary/ostiary.env")).toBe("OSTIARY_MQTT_PORT=0\n");
    const other = await plain.tryRun(wrong);
    expect([other.status, other.output]).toEqual([1, expect.stringContaining("has another node key than")]);
    // It has no admin key of its own.
    const key = /^OSTIARY_ADMIN_KEY=(.*)$/m.exec(keys)?.[1] ?? "";
    const asked = `OSO_URL=http://127.0.0.1:8081 OSO_AUTH=${key} ostiary authorize User:ann read Doc:a`;
    expect(await plain.run(asked)).toBe("Allowed\n");
    expect(await plain.run("stat -c %U /proc/$(cat /run/ostiary.pid)")).toBe("ostiary\n");
    expect(await plain.run("grep OSTIARY_NODE_KEY /etc/ostiary/ostiary.env")).toBe(`${bothKeys}\n`);
    const before = await plain.run("cat /run/ostiary.pid");
    expect(await plain.run(`${newerInstall} ${words}`)).toContain(`Ostiary ${nextVersion} runs (binary)`);
    expect(await plain.run("cat /run/ostiary.pid")).not.toBe(before);
    expect(await plain.run(asked)).toBe("Allowed\n");
    expect(await plain.run(`${install} --uninstall`)).toContain("Its data stay in /var/lib/ostiary");
    expect((await plain.tryRun("/packages/bundle/ostiary health --url http://127.0.0.1:8081")).status).toBe(1);
    expect(await plain.run("ls -d /usr/local/bin/* /run/ostiary.pid 2>/dev/null || true")).toBe("");
  }, 400_000);

  test("removes the package, and keeps the data", async () => {
    expect(await withSystemd.run(`${install} --uninstall`)).toContain("Ostiary is removed");
    expect((await withSystemd.tryRun("command -v ostiary")).status).not.toBe(0);
    await withSystemd.run("test -d /var/lib/ostiary -a -s /etc/ostiary/ostiary.env");
    expect(await withSystemd.run(`${install} --uninstall`)).toContain("Ostiary is removed");
    // As after an installation that failed half-way.
    await withSystemd.run("rm /etc/ostiary/installed-as");
    expect(await withSystemd.run(`${install} --uninstall`)).toContain("Ostiary is removed");
    // Its data would be elsewhere.
    const other = await withSystemd.tryRun(`${install} --method container`);
    expect(other.output).toContain("Ostiary is installed as package here, not as container");
    expect(await withSystemd.run(install)).toContain("runs (package): http://127.0.0.1:8080");
    expect(await withSystemd.run(decision("ostiary"))).toBe("Allowed\n");
  }, 400_000);

  test("waits for a node with TLS when it is upgraded", async () => {
    const authority = makeAuthority(join(folder, ".."), "bundle");
    const { cert, key } = authority.issue("node", ["IP:127.0.0.1"]);
    const shared = (path: string): string => `/packages/${basename(path)}`;
    await withSystemd.run(`
install -o root -g ostiary -m 640 ${shared(key)} /etc/ostiary/tls.key
install -m 644 ${shared(cert)} /etc/ostiary/tls.crt
sed -i 's|^tlsCert:.*|tlsCert: /etc/ostiary/tls.crt|; s|^tlsKey:.*|tlsKey: /etc/ostiary/tls.key|' /etc/ostiary/ostiary.yaml
systemctl restart ostiary`);
    expect(await withSystemd.run(newerInstall)).toContain("runs (package): https://127.0.0.1:8080");
    const asked = decision("ostiary").replace("http:", "https:");
    expect(await withSystemd.run(`export OSTIARY_TLS_CA=${shared(authority.cert)}\n${asked}`)).toBe("Allowed\n");
    // A node that does not know the authority.
    const words = "--role edge --primary https://127.0.0.1:8080 --port 8081 --node-key-file /root/primary.env";
    const start = `rm -r /etc/ostiary /var/lib/ostiary; ${install} ${words}`;
    expect((await plain.tryRun(start)).output).toContain("no primary answers at `https://127.0.0.1:8080`");
    const output = await plain.run(`${start} --ca ${shared(authority.cert)}`);
    expect(output).toContain("runs (binary): http://127.0.0.1:8081");
    expect(await plain.run("grep OSTIARY_TLS_CA /etc/ostiary/ostiary.env")).toBe(
      "OSTIARY_TLS_CA=/etc/ostiary/ca.crt\n",
    );
    const keys = await withSystemd.run("cat /etc/ostiary/ostiary.env");
    const [, adminKey] = must(/^OSTIARY_ADMIN_KEY=(.*)$/m.exec(keys));
    const edge = `OSO_URL=http://127.0.0.1:8081 OSO_AUTH=${adminKey} ostiary authorize User:ann read Doc:a`;
    expect(await plain.run(edge)).toBe("Allowed\n");
    await plain.run(`${install} --uninstall`);
  }, 400_000);

  test("installs a container in a network namespace with loopback only, which decides, and removes it", async () => {
    // Files in /etc are only seen in the namespace, and podman has a storage of its own.
    const [upper, work, storage] = ["upper", "work", "storage"].map((name) => join(podman.folder, "ns", name));
    const authority = makeAuthority(join(folder, ".."), "container");
    const { cert, key } = authority.issue("node", ["IP:127.0.0.1"]);
    const script = `
set -e
ip link set lo up
mount -t tmpfs tmpfs ${podman.folder}/ns
mkdir ${upper} ${work} ${storage}
mount -t overlay overlay -o lowerdir=/etc,upperdir=${upper},workdir=${work} /etc
printf '[storage]\\ndriver = "vfs"\\ngraphroot = "%s/graph"\\nrunroot = "%s/run"\\n' ${storage} ${storage} >${work}.conf
export CONTAINERS_STORAGE_CONF=${work}.conf
cd ${folder}
./install --role primary --method container --port 8090
${firstDecision("./ostiary", 8090).replaceAll("/packages/", `${join(folder, "..")}/`)}
podman inspect --format 'restart {{.HostConfig.RestartPolicy.Name}}' ostiary
sed -i 's/^OSTIARY_NODE_KEY=.*/OSTIARY_NODE_KEY="'${randomHex(32)}' '${randomHex(32)}'"/' /etc/ostiary/ostiary.env
mkdir -p /etc/certificates/live/node /etc/certificates/archive/node
install -m 644 ${cert} /etc/certificates/archive/node/tls1.crt
ln -s ../../archive/node/tls1.crt /etc/certificates/live/node/tls.crt
ln -s /etc/certificates/live/node/tls.crt /etc/ostiary/tls.crt
install -m 600 ${key} /etc/ostiary/tls.key
printf 'OSTIARY_TLS_CERT=/etc/ostiary/missing.crt\nOSTIARY_TLS_KEY=/etc/ostiary/tls.key\n' >>/etc/ostiary/ostiary.env
! ../next/install 2>&1
podman exec ostiary /usr/bin/ostiary health
sed -i 's/missing.crt/tls.crt/' /etc/ostiary/ostiary.env
! ../next/install 2>&1
podman exec ostiary /usr/bin/ostiary health
chgrp 65532 /etc/ostiary/tls.key
chmod g+r /etc/ostiary/tls.key
../next/install
podman inspect --format '{{range .Config.Env}}{{println .}}{{end}}' ostiary | grep -E '^OSTIARY_NODE_KEY=[0-9a-f]{64} [0-9a-f]{64}$'
export OSTIARY_TLS_CA=${authority.cert}
${decision("./ostiary", 8090).replace("http:", "https:")}
ls /sys/class/net
./install --uninstall
podman volume rm ostiary-data
podman rmi --all --force`;
    mkdirSync(join(podman.folder, "ns"));
    const output = await podman.run(["unshare", "--net", "--mount", "--", "sh", "-c", script], {
      timeoutMs: 390_000,
    });
    expect(output.match(/^Allowed$/gm)).toHaveLength(2);
    expect(output).toContain("runs (container): http://127.0.0.1:8090");
    expect(output).toContain("restart always\n");
    expect(output).toContain("the file /etc/ostiary/missing.crt of OSTIARY_TLS_CERT");
    expect(output).toContain("the container cannot read the file /etc/ostiary/tls.key of OSTIARY_TLS_KEY");
    expect(output).toContain("runs (container): https://127.0.0.1:8090");
    expect(output).toMatch(/The image \S+:\S+ stays as well/);
    expect(output).toContain("Its data stay in the volume ostiary-data of podman");
  }, 400_000);
});

const nextVersion = `${projectVersion()}+next`;

/** The same bundle with a higher version, in the folder `next`. Its program and image are the same. */
async function makeNextBundle(bundle: string, next: string): Promise<void> {
  // Links, because copies of the program and the image take a while.
  await $`cp -al ${bundle} ${next}`.quiet();
  const [debianPackage = ""] = readdirSync(next).filter((name) => name.endsWith(".deb"));
  rmSync(join(next, debianPackage));
  await makeNext(join(bundle, debianPackage), join(next, debianPackage), nextVersion);
  rmSync(join(next, "VERSION"));
  writeFileSync(join(next, "VERSION"), `${nextVersion}\n`);
  const sums = await $`find . -type f ! -name SHA256SUMS -printf '%P\n' | sort | xargs sha256sum`.cwd(next).text();
  rmSync(join(next, "SHA256SUMS"));
  writeFileSync(join(next, "SHA256SUMS"), sums);
}
