/**
 * A release as somebody uses it who has only its files and the manual: checked, then each file installed, on machines
 * without a network, without Bun and without Node. A node of 0.1.0 is upgraded with its data in each way, goes back, and
 * is refused by 0.1.0 after `ostiary migrate`.
 */
import { $ } from "bun";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { architectures, buildTargets, ownArchitecture, targetOf } from "../../scripts/build-targets.ts";
import { projectRoot } from "../../scripts/built-binary.ts";
import { freePort, newAdminKey, NodeProcess } from "../../scripts/node-process.ts";
import { bundleName } from "../../scripts/packaging/offline-bundle.ts";
import { packageName } from "../../scripts/packaging/debian-package.ts";
import { writeRootArchive } from "../../scripts/root-archive.ts";
import { notesOf, problemsOf, readReleases } from "../../scripts/release-checks.ts";
import { schemaVersion } from "../../src/store/connection/database-format.ts";
import { must } from "../../src/util/assert.ts";
import { eventually } from "../e2e/cluster.ts";
import { Docker } from "../containers/docker.ts";
import { Podman } from "../containers/podman.ts";
import { programPath } from "../e2e/program.ts";
import { withDirectory } from "../replication/cluster.ts";
import { commitOf, firstRelease, programOf } from "../releases/release-program.ts";
import { builtRelease, run, type BuiltRelease } from "./built-release.ts";
import { debianImage, DebianMachine, decision, firstDecision, policy } from "./debian-machine.ts";

const buildWithinMs = 1_800_000;
const withinMs = 400_000;

let release: BuiltRelease;

beforeAll(async () => {
  release = await builtRelease();
}, buildWithinMs);

const ownProgram = (): string => release.file(`ostiary-${release.version}-${targetOf[ownArchitecture]}`);
const sumOf = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex");

describe("the files of a release", () => {
  test("are those that scripts/release --help names, and their checksums are right", async () => {
    const { version } = release;
    const names = [
      ...buildTargets.flatMap(({ name, suffix }) => [
        `ostiary-${version}-${name}${suffix}`,
        `ostiary-${version}-${name}.cdx.json`,
      ]),
      ...architectures.flatMap((architecture) => [
        packageName(version, architecture),
        `${bundleName(version, architecture)}.tar.gz`,
        `ostiary-${version}-image-${architecture}.tar`,
      ]),
      ...[`ostiary-${version}-image-index.tar`, `ostiary-${version}.tgz`],
      ...["LICENSE", "LICENSES.txt", "RELEASE-NOTES.md", "SHA256SUMS"],
    ];
    expect(readdirSync(release.folder).toSorted()).toEqual(names.toSorted());
    // As the manual has it.
    const page = readFileSync(join(projectRoot, "appliance/manual/install.md"), "utf8");
    const [, command = ""] = must(/^## Verify a release\n+```sh\n(.*)\n```$/m.exec(page));
    const checked = await run(["sh", "-c", command], release.folder);
    const fine = checked.trim().split("\n");
    expect(fine.toSorted()).toEqual(
      names
        .filter((name) => name !== "SHA256SUMS")
        .map((name) => `${name}: OK`)
        .toSorted(),
    );
  });

  test("have a bill of materials for each program, of this program", () => {
    for (const { name, suffix } of buildTargets) {
      const file = `ostiary-${release.version}-${name}`;
      const bill = JSON.parse(readFileSync(release.file(`${file}.cdx.json`), "utf8"));
      expect(bill).toMatchObject({
        bomFormat: "CycloneDX",
        specVersion: "1.6",
        metadata: {
          component: {
            version: release.version,
            hashes: [{ alg: "SHA-256", content: sumOf(release.file(`${file}${suffix}`)) }],
          },
        },
      });
      expect(bill.components.length).toBeGreaterThan(20);
    }
  });

  test("are programs for their platforms", () => {
    const begins = { linux: "7f454c46", darwin: "cffaedfe", windows: "4d5a" };
    for (const { name, suffix } of buildTargets) {
      const [platform = ""] = name.split("-");
      const content = readFileSync(release.file(`ostiary-${release.version}-${name}${suffix}`));
      expect(content.toString("hex", 0, 4)).toStartWith(begins[platform as keyof typeof begins]);
    }
  });

  test("have the licenses, and the notes of this version, which begin with the upgrade", () => {
    expect(readFileSync(release.file("LICENSE"), "utf8")).toContain("Apache License");
    expect(readFileSync(release.file("LICENSES.txt"), "utf8")).toContain("Bun");
    const notes = readFileSync(release.file("RELEASE-NOTES.md"), "utf8");
    expect(notes).not.toContain("\n## ");
    expect(notes).toStartWith(`# Ostiary ${release.version}\n\n`);
  });

  test.skipIf(process.env["RELEASE"] !== undefined)(
    "belong to a commit that a file and a tag name; a clone without tags knows it",
    async () => {
      const { version } = release;
      const repository = must(release.repository);
      await withDirectory(async (folder) => {
        const clone = join(folder, "clone");
        await run(["git", "clone", "--quiet", "--no-tags", `file://${repository}`, clone], folder);
        const named = must(readReleases(clone).at(-1));
        expect(named.version).toBe(version);
        expect(commitOf(version, clone)).toBe(named.commit);
        expect(problemsOf(clone, version).join("\n")).toContain(`${version} was released already`);
        const tagged = await run(["git", "rev-parse", `${version}^{commit}`], repository);
        expect(tagged.trim()).toBe(named.commit);
        const message = await run(["git", "tag", "--list", "--format=%(contents)", version], repository);
        expect(message.trim()).toBe(`Ostiary ${version}\n\n${notesOf(clone, version)}`);
        expect(readFileSync(release.file("RELEASE-NOTES.md"), "utf8").trim()).toBe(`# ${message.trim()}`);
        const said = JSON.parse(await run([ownProgram(), "version", "--json"], folder));
        expect(said).toMatchObject({ version, commit: named.commit.slice(0, 12) });
        // Formatted, so that the next commit does not have to.
        await run(
          [process.execPath, "fmt", "--check", "--no-script", "test/releases/releases.json", "CHANGELOG.md"],
          clone,
        );
      });
    },
  );
});

describe("on machines without a network, Bun and Node, a release", () => {
  let podman: Podman;
  let withSystemd: DebianMachine;
  let plain: DebianMachine;
  const old = "/packages/old";

  beforeAll(async () => {
    podman = new Podman();
    const packages = join(podman.folder, "packages");
    mkdirSync(join(packages, "old"), { recursive: true });
    await $`git archive ${commitOf(firstRelease)} appliance | tar -xC ${join(packages, "old")}`
      .cwd(projectRoot)
      .quiet();
    copyFileSync(await programOf(firstRelease), join(packages, "old", "ostiary"));
    const { version } = release;
    for (const name of [packageName(version, ownArchitecture), `${bundleName(version, ownArchitecture)}.tar.gz`])
      copyFileSync(release.file(name), join(packages, name));
    cpSync(ownProgram(), join(packages, "ostiary"));
    if (ownArchitecture === "amd64")
      cpSync(release.file(`ostiary-${version}-linux-x64-baseline`), join(packages, "baseline"));
    writeFileSync(join(packages, "policy.polar"), policy);
    const image = await debianImage(podman);
    withSystemd = await DebianMachine.start(podman, { image, name: "systemd", withSystemd: true, packages });
    plain = await DebianMachine.start(podman, { image, name: "plain", withSystemd: false, packages });
    for (const machine of [withSystemd, plain]) {
      expect(await machine.run("ls /sys/class/net")).toBe("lo\n");
      expect((await machine.tryRun("command -v bun node npm deno")).output).toBe("");
    }
  }, withinMs);

  afterAll(() => podman?.removeAll(), 60_000);

  test.each(ownArchitecture === "amd64" ? ["ostiary", "baseline"] : ["ostiary"])(
    "has the program %s, which needs nothing else to decide",
    async (name) => {
      const answers = await plain.run(`
cp /packages/${name} /usr/local/bin/ostiary
ostiary version
ostiary dev /packages/policy.polar --port 8085 >/tmp/dev.log 2>&1 & node=$!
export OSO_URL=http://127.0.0.1:8085 OSO_AUTH=e_0123456789_12345_osotesttoken01xiIn
until ostiary health --url $OSO_URL >/dev/null 2>&1; do kill -0 $node || { cat /tmp/dev.log; exit 9; }; done
ostiary tell has_role User:ann reader Doc:a
ostiary authorize User:ann read Doc:a
kill $node; wait $node; rm /usr/local/bin/ostiary`);
      expect(answers).toStartWith(`ostiary ${release.version} (Bun `);
      expect(answers).toEndWith("stored\nAllowed\n");
    },
    withinMs,
  );

  test(
    "has a bundle that installs a node, which decides",
    async () => {
      const installed = await plain.run(`
mkdir /root/bundle; cd /root/bundle
tar -xzf /packages/ostiary-*-offline-*.tar.gz
cd ostiary-*-offline-*/
./install --role primary`);
      expect(installed).toContain(`Ostiary ${release.version} runs (binary): http://127.0.0.1:8080`);
      expect(await plain.run(firstDecision("ostiary"))).toEndWith("Allowed\n");
      await plain.run("/root/bundle/ostiary-*/install --uninstall");
    },
    withinMs,
  );

  const users: string[] = [];
  /** The node has all facts of the steps before, and takes another one. The old program has no commands for that. */
  const decides = async (user: string): Promise<void> => {
    await eventually(
      async () => (await withSystemd.tryRun("/packages/ostiary health")).status === 0,
      "the node answers",
    );
    const write = decision("/packages/ostiary").replace(/authorize .*$/, `tell has_role User:${user} reader Doc:a`);
    expect(await withSystemd.run(write)).toEndWith("stored\n");
    users.push(user);
    for (const each of users)
      expect(await withSystemd.run(decision("/packages/ostiary").replace("User:ann", `User:${each}`))).toBe(
        "Allowed\n",
      );
  };
  const runningVersion = async (): Promise<string> => {
    const said = await withSystemd.run('"$(readlink /proc/$(systemctl show -P MainPID ostiary)/exe)" version');
    return said.split(" ")[1] ?? "";
  };
  const installOld = async (): Promise<void> => {
    await withSystemd.run(`
cd ${old}
systemctl stop ostiary 2>/dev/null
install -m 755 ostiary /usr/local/bin/ostiary
install -m 644 appliance/ostiary.service /etc/systemd/system/ostiary.service
systemctl daemon-reload
systemctl enable --now ostiary`);
  };

  test(
    "upgrades a node of 0.1.0 with the bundle, and the node goes back with its data",
    async () => {
      // As the unit of 0.1.0 says it.
      await withSystemd.run(`
install -D -m 640 ${old}/appliance/ostiary.yaml /etc/ostiary/ostiary.yaml
install -D -m 600 /dev/null /etc/ostiary/ostiary.env
random() { od -An -v -tx1 -N $1 /dev/urandom | tr -d ' \\n'; }
printf 'OSTIARY_NODE_KEY=%s\\nOSTIARY_ADMIN_KEY=e_default_admin_%s\\n' $(random 32) $(random 24) >/etc/ostiary/ostiary.env`);
      await installOld();
      await eventually(async () => (await withSystemd.tryRun("ostiary health")).status === 0, "0.1.0 answers");
      expect(await withSystemd.run(firstDecision("/packages/ostiary"))).toEndWith("Allowed\n");
      users.push("ann");
      await withSystemd.run(`
set -a; . /etc/ostiary/ostiary.env
ostiary backup --data /var/lib/ostiary --out /root/before.backup`);

      const installed = await withSystemd.run(`
mkdir /root/bundle; cd /root/bundle
tar -xzf /packages/ostiary-*-offline-*.tar.gz
cd ostiary-*-offline-*/
./install`);
      expect(installed).toContain(`Ostiary ${release.version} runs (binary)`);
      expect(await runningVersion()).toBe(release.version);
      await decides("bundle");
      expect(await withSystemd.run("/packages/ostiary health")).toContain('"kept_format":5');
      // A copy of the reference file of 0.1.0 has more than a hundred old names.
      const log = await withSystemd.run("journalctl -u ostiary -o cat --grep ' warning '");
      expect(log.trim().split("\n")).toEqual([
        expect.stringMatching(/ 39 settings from the file \S+ have old names; /),
        expect.stringMatching(/ \d+ settings from the file \S+ are no settings any more, /),
      ]);

      await installOld();
      expect(await runningVersion()).toBe(firstRelease);
      await decides("back");
    },
    withinMs,
  );

  const installPackage = `dpkg --force-confold --install /packages/ostiary_*.deb`;

  test(
    "upgrades it with the package, which says that a unit hides its own, and the node goes back",
    async () => {
      const output = await withSystemd.run(installPackage);
      expect(output).toContain("the unit /etc/systemd/system/ostiary.service hides that of this package");
      expect(await runningVersion()).toBe(firstRelease);
      await withSystemd.run("dpkg --remove ostiary; systemctl restart ostiary");
      await decides("removed");
      // As the manual has it.
      const page = readFileSync(join(projectRoot, "appliance/manual/install.md"), "utf8");
      const [, commands = ""] = must(/^### From a unit of your own\n[^]*?```sh\n([^]*?)```$/m.exec(page));
      await withSystemd.run(`set -e; cd /packages\n${commands.replaceAll("sudo ", "")}`);
      expect(await runningVersion()).toBe(release.version);
      await decides("package");

      await withSystemd.run("dpkg --remove ostiary");
      await installOld();
      expect(await runningVersion()).toBe(firstRelease);
      await decides("again");
    },
    withinMs,
  );

  test(
    "migrates the data; then 0.1.0 refuses them, says why, and restores its backup",
    async () => {
      await withSystemd.run(`
systemctl disable --now ostiary
rm /etc/systemd/system/ostiary.service /usr/local/bin/ostiary
${installPackage}
systemctl enable --now ostiary`);
      await decides("before");
      await withSystemd.run(`
systemctl stop ostiary
setpriv --reuid ostiary --regid ostiary --clear-groups ostiary migrate --data /var/lib/ostiary
systemctl start ostiary`);
      await decides("migrated");
      expect(await withSystemd.run("ostiary health")).not.toContain("kept_format");
      await withSystemd.run("systemctl stop ostiary");
      const content = "cd /var/lib/ostiary; sha256sum store-*.db";
      const before = await withSystemd.run(content);

      const refused = await withSystemd.tryRun(
        `set -a; . /etc/ostiary/ostiary.env; ${old}/ostiary serve --role primary --data /var/lib/ostiary`,
      );
      expect(refused.status).toBe(1);
      expect(refused.output).toContain(`has format ${schemaVersion}, and this version knows formats up to 5`);
      expect(refused.output).toContain("use a backup from before the upgrade");
      expect(await withSystemd.run(content)).toBe(before);
      const answer = await withSystemd.run(`
set -a; . /etc/ostiary/ostiary.env; set +a
${old}/ostiary restore /root/before.backup --data /root/restored >/dev/null
${old}/ostiary serve --role primary --data /root/restored >/root/log 2>&1 & node=$!
until /packages/ostiary health >/dev/null 2>&1; do kill -0 $node || { cat /root/log; exit 9; }; done
( ${decision("/packages/ostiary")} ); status=$?
kill $node; wait $node; exit $status`);
      expect(answer).toBe("Allowed\n");
    },
    withinMs,
  );
});

describe("the images of a release", () => {
  let podman: Podman;

  beforeAll(() => {
    podman = new Podman();
  });
  afterAll(() => podman?.removeAll(), 60_000);

  test.each([
    ["docker load", () => `ostiary-${release.version}-image-${ownArchitecture}.tar`],
    ["registries", () => `ostiary-${release.version}-image-index.tar`],
  ])(
    "the one for %s is loaded, runs without rights on a read-only file system, and decides",
    async (_, name) => {
      const loaded = await podman.podman("load", "--input", release.file(name()));
      const image = must(/^Loaded image: (?!.*:latest$)(\S+)$/m.exec(loaded))[1] ?? "";
      const [port, key, container] = [await freePort(), newAdminKey(), `${podman.prefix}-release`];
      const options = ["--read-only", "--cap-drop", "ALL", "--volume", `${container}:/data`];
      const settings = ["--env", `OSTIARY_ADMIN_KEY=${key}`, "--publish", `127.0.0.1:${port}:8080`];
      const command = [image, "serve", "--role", "primary"];
      await podman.podman("run", "--detach", "--name", container, ...options, ...settings, ...command);
      expect(await podman.podman("exec", container, "/usr/bin/ostiary", "version")).toStartWith(
        `ostiary ${release.version} `,
      );
      await untilReady(port);
      expect(await firstAnswer(`http://127.0.0.1:${port}`, key)).toEndWith("Allowed\n");
      await podman.podman("rm", "--force", "--time", "5", "--volumes", container);
      await podman.podman("rmi", "--force", image);
    },
    withinMs,
  );
});

test(
  "on Docker, a release takes the data of a node that one-node.yaml of 0.1.0 has started",
  async () => {
    const docker = await Docker.start();
    try {
      const before = join(docker.folder, "before");
      mkdirSync(before);
      await $`git archive ${commitOf(firstRelease)} compose | tar -xC ${before}`.cwd(projectRoot).quiet();
      await importFirstImage(docker);
      await docker.importImage("alpine", { programs: { "/bin/cp": programPath("cp") }, files: {}, folders: {} });
      const [port, key] = [await freePort(), newAdminKey()];
      const variables = { OSTIARY_ADMIN_KEY: key, PRIMARY_PORT: String(port), OSTIARY_IMAGE: "first" };
      const compose = (folder: string, ...words: string[]): Promise<string> =>
        docker.run(["docker-compose", "--file", join(folder, "compose", "one-node.yaml"), ...words], {
          environment: variables,
          timeoutMs: 120_000,
        });
      await compose(before, "up", "--detach");
      await untilReady(port);
      expect(await firstAnswer(`http://127.0.0.1:${port}`, key)).toBe("Allowed\n");
      await compose(before, "down");

      // As the manual has it.
      const page = readFileSync(join(projectRoot, "appliance/manual/upgrades.md"), "utf8");
      const [, command = ""] = must(/^(docker run .* cp -a .*)$/m.exec(page));
      await docker.run(["sh", "-c", command]);
      const bundle = join(docker.folder, "bundle");
      mkdirSync(bundle);
      await $`tar --strip-components=1 -xzf ${release.file(`${bundleName(release.version, ownArchitecture)}.tar.gz`)} -C ${bundle}`;
      await docker.docker("load", "--input", join(bundle, "ostiary-image.tar"));
      await compose(bundle, "up", "--detach");
      await untilReady(port);
      const url = `http://127.0.0.1:${port}`;
      expect(await ask(url, key, "authorize", "User:ann", "read", "Doc:a")).toBe("Allowed\n");
      expect(await ask(url, key, "nodes")).toContain(` ${release.version} (format 5) `);
    } finally {
      await docker.stop();
    }
  },
  withinMs,
);

/** The image of 0.1.0 with its program, made as its Containerfile says. */
async function importFirstImage(docker: Docker): Promise<void> {
  const archive = join(docker.folder, "first.tar");
  await writeRootArchive(archive, {
    programs: { "/usr/bin/ostiary": await programOf(firstRelease) },
    files: { "/etc/passwd": "ostiary:x:65532:65532:ostiary:/data:/sbin/nologin\n" },
    folders: { "/data": 65_532 },
  });
  const changes = [
    "ENV OSTIARY_HOST=0.0.0.0 OSTIARY_DATA=/data SQLITE_TMPDIR=/data",
    "USER 65532:65532",
    "VOLUME /data",
    'ENTRYPOINT ["/usr/bin/ostiary"]',
  ];
  await docker.docker("import", ...changes.flatMap((change) => ["--change", change]), archive, "first");
}

function untilReady(port: number): Promise<void> {
  const ready = async (): Promise<boolean> =>
    (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.ok === true;
  return eventually(ready, `the node at ${port} is ready`, 60_000);
}

/** Runs a command of the release's program for a node. */
function ask(url: string, key: string, ...words: string[]): Promise<string> {
  return run(["env", `OSO_URL=${url}`, `OSO_AUTH=${key}`, ownProgram(), ...words], projectRoot);
}

/** The answer of a node that had no policy before. */
function firstAnswer(url: string, key: string): Promise<string> {
  return withDirectory(async (folder) => {
    const path = join(folder, "policy.polar");
    writeFileSync(path, policy);
    await ask(url, key, "policy", path);
    await ask(url, key, "tell", "has_role", "User:ann", "reader", "Doc:a");
    return ask(url, key, "authorize", "User:ann", "read", "Doc:a");
  });
}

describe("the npm package of a release", () => {
  const application = `
import { Oso } from "oso-cloud";
import { redundantFetch } from "ostiary/redundant-fetch";
import { localSql } from "ostiary/local-sql";
import process from "node:process";

const [dead, url, key] = process.argv.slice(2);
const oso = new Oso(dead, key, { fetchBuilder: redundantFetch([dead, url], { hedgeAfterMs: 100 }) });
const [ann, doc] = [{ type: "User", id: "ann" }, { type: "Doc", id: "a" }];
const sql = (strings, ...values) => ({ text: strings.join("?"), values });
const condition = localSql(sql, { sql: "id IN ($1)", parameters: ["a"] });
console.log(JSON.stringify([await oso.authorize(ann, "read", doc), await oso.list(ann, "read", "Doc"), condition]));
`;
  const [deno = ""] = [...new Bun.Glob("@deno/*/deno").scanSync(join(projectRoot, "node_modules"))];
  const runtimes: readonly (readonly [name: string, command: readonly string[]])[] = [
    ["Node", ["node"]],
    ["Bun", [process.execPath]],
    ["Deno", [join(projectRoot, "node_modules", deno), "run", "--allow-all", "--node-modules-dir=manual"]],
  ];

  test(
    "is installed with npm into an empty project, and works on each runtime",
    () =>
      withDirectory(async (folder) => {
        const [home, data] = [join(folder, "application"), join(folder, "data")];
        mkdirSync(home);
        writeFileSync(join(home, "package.json"), JSON.stringify({ name: "application", type: "module" }));
        await run(["npm", "install", "--offline", "--no-audit", release.file(`ostiary-${release.version}.tgz`)], home);
        expect(readdirSync(join(home, "node_modules")).filter((name) => !name.startsWith("."))).toEqual(["ostiary"]);
        symlinkSync(join(projectRoot, "node_modules", "oso-cloud"), join(home, "node_modules", "oso-cloud"));
        writeFileSync(join(home, "application.mjs"), application);
        const [port, gone, key] = [await freePort(), await freePort(), newAdminKey()];
        const node = new NodeProcess({
          ...{ binary: ownProgram(), name: "primary", role: "primary", port, directory: data },
          environment: { OSTIARY_ADMIN_KEY: key, OSTIARY_MQTT_PORT: "0" },
        });
        try {
          await node.start();
          expect(await firstAnswer(node.url, key)).toBe("Allowed\n");
          for (const [name, command] of runtimes) {
            const said = await run([...command, "application.mjs", `http://127.0.0.1:${gone}`, node.url, key], home);
            expect([name, JSON.parse(said)]).toEqual([name, [true, ["a"], { text: "id IN (?)", values: ["a"] }]]);
          }
        } finally {
          await node.kill();
        }
      }),
    withinMs,
  );
});
