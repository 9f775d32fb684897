/**
 * The Debian package: its files, and its life on a system with systemd: installed, used for a decision, upgraded, removed
 * and purged. `debian-package.full.test.ts` has lintian, and builds it twice.
 */
import * as Bun from "bun";
import { $ } from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectRoot, projectVersion } from "../../scripts/built-binary.ts";
import { debianChangelog, debianVersion } from "../../scripts/packaging/debian-changelog.ts";
import { packagedUnit } from "../../scripts/packaging/debian-package.ts";
import { workerNiceness } from "../../src/runtime/worker-process.ts";
import { must } from "../../src/util/assert.ts";
import { eventually } from "../e2e/cluster.ts";
import { Podman } from "../containers/podman.ts";
import { builtDebianPackage, makeNext, trackedFiles } from "./built-packages.ts";
import { debianImage, DebianMachine, decision, firstDecision, policy } from "./debian-machine.ts";

/** The files of the package, with their modes; the manual is below. */
const expectedFiles: readonly (readonly [mode: string, path: string])[] = [
  ["-rw-r-----", "./etc/ostiary/ostiary.yaml"],
  ["-rwxr-xr-x", "./usr/bin/ostiary"],
  ["-rw-r--r--", "./usr/lib/systemd/system/ostiary.service"],
  ["-rw-r--r--", "./usr/lib/sysusers.d/ostiary.conf"],
  ["-rw-r--r--", "./usr/share/bash-completion/completions/ostiary"],
  ["-rw-r--r--", "./usr/share/doc/ostiary/changelog.gz"],
  ["-rw-r--r--", "./usr/share/doc/ostiary/copyright"],
  ["-rw-r--r--", "./usr/share/fish/vendor_completions.d/ostiary.fish"],
  ["-rw-r--r--", "./usr/share/lintian/overrides/ostiary"],
  ["-rw-r--r--", "./usr/share/man/man1/ostiary.1.gz"],
  ["-rw-r--r--", "./usr/share/zsh/vendor-completions/_ostiary"],
];

describe("the Debian package", () => {
  let debianPackage = "";

  beforeAll(async () => {
    debianPackage = await builtDebianPackage();
  }, 400_000);

  test("has exactly the expected files, which belong to root", async () => {
    const listing = await $`dpkg-deb --contents ${debianPackage}`.text();
    const entries = [...listing.matchAll(/^(\S+) (\S+) +\d+ \S+ \S+ (\S+)$/gm)];
    const manual = (await trackedFiles("appliance/manual")).map(
      (path) => ["-rw-r--r--", path.replace(/^appliance/, "./usr/share/doc/ostiary")] as const,
    );
    expect(manual.length).toBeGreaterThan(30);
    manual.push(["-rw-r--r--", "./usr/share/doc/ostiary/manual/language.md"]);
    const files = entries.flatMap(([, mode = "", , path = ""]) => (path.endsWith("/") ? [] : [[mode, path] as const]));
    expect(files.toSorted(byPath)).toEqual([...expectedFiles, ...manual].toSorted(byPath));
    expect(new Set(entries.map(([, , owner]) => owner))).toEqual(new Set(["root/root"]));
  });

  test("has the control files, and sums that its files have", async () => {
    const folder = mkdtempSync(join(tmpdir(), "ostiary-deb-"));
    try {
      await $`dpkg-deb --raw-extract ${debianPackage} ${folder}`.quiet();
      const control = readFileSync(join(folder, "DEBIAN", "control"), "utf8");
      expect(control).toContain(`Version: ${debianVersion(projectVersion())}\n`);
      expect(readFileSync(join(folder, "DEBIAN", "conffiles"), "utf8")).toBe("/etc/ostiary/ostiary.yaml\n");
      expect((await $`md5sum --check --quiet DEBIAN/md5sums`.cwd(folder).nothrow().quiet()).stdout.toString()).toBe("");
      const unit = readFileSync(join(folder, "usr/lib/systemd/system/ostiary.service"), "utf8");
      expect(unit).toContain("\nExecStart=/usr/bin/ostiary serve ");
      expect(unit).toContain("\nUser=ostiary\n");
      expect(unit).not.toContain("DynamicUser");
      expect(() => packagedUnit("[Unit]\n")).toThrow("has no line as expected");
      const changes = Bun.gunzipSync(readFileSync(join(folder, "usr/share/doc/ostiary/changelog.gz")));
      expect(new TextDecoder().decode(changes)).toStartWith(`ostiary (${debianVersion(projectVersion())}) `);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("names releases as Debian sorts them, and its changelog has their notes", () => {
    expect(debianVersion("0.2.0-rc.1")).toBe("0.2.0~rc.1");
    const changelog = debianChangelog(
      "# Changelog\n\n## [Unreleased]\n\n- Not yet.\n\n## [0.2.0] - 2026-11-30\n\n### Added\n\n- A **bold** [link](x.md).\n\n## [0.1.0] - 2026-11-28\n\n- The first.\n",
      "Somebody <a@example.org>",
    );
    expect(changelog).toBe(`ostiary (0.2.0) stable; urgency=medium

  * A bold link.

 -- Somebody <a@example.org>  Mon, 30 Nov 2026 00:00:00 +0000

ostiary (0.1.0) stable; urgency=medium

  * The first.

 -- Somebody <a@example.org>  Sat, 28 Nov 2026 00:00:00 +0000
`);
    expect(() => debianChangelog("# Changelog\n\n## [Unreleased]\n", "x")).toThrow("has no release");
  });
});

const byPath = ([, a]: readonly [string, string], [, b]: readonly [string, string]): number => (a < b ? -1 : 1);

describe("on a Debian system, the Debian package", () => {
  let podman: Podman;
  let machine: DebianMachine;
  let plain: DebianMachine;
  const nextVersion = `${projectVersion()}+next`;

  beforeAll(async () => {
    const debianPackage = await builtDebianPackage();
    podman = new Podman();
    const packages = join(podman.folder, "packages");
    mkdirSync(packages);
    copyFileSync(debianPackage, join(packages, "ostiary.deb"));
    writeFileSync(join(packages, "policy.polar"), policy);
    await makeNext(debianPackage, join(packages, "next.deb"), nextVersion);
    const image = await debianImage(podman);
    machine = await DebianMachine.start(podman, { image, name: "package", withSystemd: true, packages });
    plain = await DebianMachine.start(podman, { image, name: "plain", withSystemd: false, packages });
  }, 480_000);

  afterAll(() => podman?.removeAll(), 60_000);

  const untilHealthy = (): Promise<void> =>
    eventually(async () => (await machine.tryRun("ostiary health")).status === 0, "the node is healthy", 120_000);
  const isActive = async (): Promise<string> => (await machine.tryRun("systemctl is-active ostiary")).output.trim();
  const pid = async (): Promise<string> => (await machine.run("systemctl show --property MainPID ostiary")).trim();

  test("creates a user and keys, and starts nothing before the role is chosen", async () => {
    const output = await machine.run("dpkg --install /packages/ostiary.deb");
    expect(output).toContain("Set its role in /etc/ostiary/ostiary.yaml");
    expect(await isActive()).toBe("inactive");
    expect((await machine.tryRun("systemctl is-enabled ostiary")).output.trim()).toBe("disabled");
    const modes = await machine.run("stat -c '%A %U %n' /etc/ostiary/* /var/lib/ostiary");
    expect(modes).toBe(
      "-rw------- root /etc/ostiary/ostiary.env\n-rw-r----- root /etc/ostiary/ostiary.yaml\ndrwx------ ostiary /var/lib/ostiary\n",
    );
    expect(await machine.run("cat /etc/ostiary/ostiary.env")).toMatch(
      /^OSTIARY_NODE_KEY=[0-9a-f]{64}\n.*\nOSTIARY_ADMIN_KEY=e_default_admin_[0-9a-f]{48}$/m,
    );
  }, 400_000);

  test("answers with a decision", async () => {
    await machine.run("systemctl enable --now ostiary");
    await untilHealthy();
    expect(await machine.run(firstDecision("ostiary"))).toEndWith("Allowed\n");
    expect(await machine.run("stat -c %U /proc/$(systemctl show -P MainPID ostiary)")).toBe("ostiary\n");
    // As the manual has it.
    const page = readFileSync(join(projectRoot, "appliance/manual/install.md"), "utf8");
    const [, command] = must(/^sudo (sh -c [^]*?)\n```$/m.exec(page));
    const made = await machine.run(command ?? "");
    expect(made).toContain("backup.ostiary-backup");
    expect(made).not.toContain("the backup has no MAC");
    await machine.run("rm /var/lib/ostiary/backup.ostiary-backup");
  }, 400_000);

  test("lowers the priority of its worker processes", async () => {
    const seen = await machine.run(`
node=$(systemctl show -P MainPID ostiary)
export OSO_URL=http://127.0.0.1:8080 OSO_AUTH=$(sed -n 's/^OSTIARY_ADMIN_KEY=//p' /etc/ostiary/ostiary.env)
(for round in 1 2 3 4 5 6; do
  { cat /packages/policy.polar; echo "# $round"; } >/tmp/other.polar
  ostiary policy /tmp/other.polar || exit
done) >/dev/null 2>&1 &
uploads=$!
# The 4th field is the parent, the 19th the niceness.
while kill -0 $uploads 2>/dev/null; do awk -v node=$node '$4 == node { print $19 }' /proc/[0-9]*/stat 2>/dev/null || true; done | sort -u
ostiary policy /packages/policy.polar >/dev/null`);
    expect(seen.trim().split("\n")).toContain(String(workerNiceness));
  }, 400_000);

  test("is confined, restarts after a crash, and says in the journal what is wrong with its configuration", async () => {
    // 0 is the least exposure, 100 the most.
    await machine.run("systemd-analyze security --no-pager --threshold=15 ostiary.service");
    const before = await pid();
    await machine.run("kill -KILL $(systemctl show -P MainPID ostiary)");
    await eventually(async () => (await pid()) !== before, "systemd has started another process", 120_000);
    await untilHealthy();
    expect(await machine.run(decision("ostiary"))).toBe("Allowed\n");

    await machine.run(
      "cp -p /etc/ostiary/ostiary.yaml /root; sed -i 's/^role: .*/role: secondary/' /etc/ostiary/ostiary.yaml",
    );
    await machine.run("systemctl restart ostiary");
    const restarts = async (): Promise<number> => Number(await machine.run("systemctl show -P NRestarts ostiary"));
    await eventually(async () => (await restarts()) >= 2, "systemd has tried it again", 120_000);
    // It never gives up.
    expect(await machine.run("systemctl show -P StartLimitIntervalUSec ostiary")).toBe("0\n");
    expect(await machine.run("journalctl --unit ostiary --output cat --lines 30")).toContain(
      "role is `secondary` from the file",
    );
    await machine.run("mv /root/ostiary.yaml /etc/ostiary/ostiary.yaml && systemctl restart ostiary");
    await untilHealthy();
  }, 400_000);

  test("keeps data, keys and changed configuration when it is upgraded, and restarts the node", async () => {
    await machine.run("echo '# mine' >>/etc/ostiary/ostiary.yaml");
    const [keys, before] = [await machine.run("cat /etc/ostiary/ostiary.env"), await pid()];
    await machine.run("dpkg --force-confdef --force-confold --install /packages/next.deb");
    expect(await machine.run("dpkg-query --show --showformat '${Version}' ostiary")).toBe(nextVersion);
    await untilHealthy();
    expect(await pid()).not.toBe(before);
    expect(await machine.run("tail -n 1 /etc/ostiary/ostiary.yaml")).toBe("# mine\n");
    expect(await machine.run("tail -n 1 /etc/ostiary/ostiary.yaml.dpkg-dist")).toBe("# a new comment\n");
    expect(await machine.run("cat /etc/ostiary/ostiary.env")).toBe(keys);
    expect(await machine.run(decision("ostiary"))).toBe("Allowed\n");
  }, 400_000);

  test("does not start a node that is stopped when it is upgraded, and makes no keys in place of deleted ones", async () => {
    await machine.run("systemctl stop ostiary");
    await machine.run("mv /etc/ostiary/ostiary.env /root");
    await machine.run("dpkg --force-confdef --force-confold --install /packages/next.deb");
    expect(await isActive()).toBe("inactive");
    await machine.run("test ! -e /etc/ostiary/ostiary.env && mv /root/ostiary.env /etc/ostiary");
    await machine.run("systemctl start ostiary");
    await untilHealthy();
  }, 400_000);

  test("stops the node and keeps its data when it is removed, and uses them when it is installed again", async () => {
    await machine.run("dpkg --remove ostiary");
    expect(await isActive()).toBe("inactive");
    expect((await machine.tryRun("command -v ostiary")).status).not.toBe(0);
    expect(await machine.run("ls /var/lib/ostiary /etc/ostiary/ostiary.env")).toContain("/etc/ostiary/ostiary.env");
    await machine.run("dpkg --force-confdef --force-confold --install /packages/next.deb && systemctl start ostiary");
    await untilHealthy();
    expect(await machine.run(decision("ostiary"))).toBe("Allowed\n");
  }, 400_000);

  test("deletes data, keys and configuration when it is purged, and says so", async () => {
    expect(await machine.run("dpkg --purge ostiary")).toContain("deleted the data in /var/lib/ostiary and the keys");
    const left = await machine.run(
      "ls -d /var/lib/ostiary /etc/ostiary /etc/systemd/system/*/ostiary.service 2>/dev/null || true",
    );
    expect(left).toBe("");
  }, 400_000);

  test("can be used without systemd, too", async () => {
    await plain.run("dpkg --install /packages/ostiary.deb");
    const answer = await plain.run(`
set -a; . /etc/ostiary/ostiary.env; set +a
OSTIARY_DATA=/var/lib/ostiary setpriv --reuid ostiary --regid ostiary --clear-groups ostiary serve --role primary >/tmp/log 2>&1 & node=$!
until ostiary health >/dev/null 2>&1; do kill -0 $node || { cat /tmp/log; exit 9; }; done
( ${firstDecision("ostiary")} ); status=$?
kill $node; wait $node; exit $status`);
    expect(answer).toEndWith("Allowed\n");
    await plain.run('dpkg --install /packages/next.deb && dpkg --remove ostiary && test -n "$(ls /var/lib/ostiary)"');
    await plain.run("dpkg --purge ostiary");
    expect(await plain.run("ls -d /usr/bin/ostiary /var/lib/ostiary /etc/ostiary 2>/dev/null || true")).toBe("");
  }, 400_000);
});
