/**
 * `scripts/bun` on a machine that lacks Bun or the packages of the project: without a network it says so in seconds,
 * although npm and Bun would try for minutes. The registry is a server of the test, which records the requests.
 */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { engines } from "../package.json";
import { projectRoot } from "../scripts/built-binary.ts";
import { freePort } from "../scripts/node-process.ts";
import { makeAuthority } from "./e2e/certificates.ts";
import { findProgram, programPath } from "./e2e/program.ts";

const wanted = engines.bun.replace(">=", "");
const withinMs = 60_000;

/** What `scripts/bun` itself and npm call. */
const tools = ["sh", "env", "awk", "cat", "dirname", "grep", "head", "mkdir", "sed"];
const [withNpm, withBun] = [["npm", "node"], ["bun"]];

interface Machine {
  readonly clone: string;
  /**
   * Runs `scripts/bun --version` with a registry at a port, or at a URL. The file replaces the one with the certificate
   * authorities of the system, for which this needs root.
   */
  firstRun(
    registry: number | string,
    authorities?: string,
  ): Promise<{ readonly status: number; readonly output: string; readonly errors: string }>;
}

/** A new user with an empty home and these programs on the `PATH`. */
async function withMachine(programs: readonly string[], body: (machine: Machine) => Promise<void>): Promise<void> {
  const home = mkdtempSync(join(tmpdir(), "ostiary-first-run-"));
  const [clone, bin] = [join(home, "my projects", "ostiary"), join(home, "bin")];
  mkdirSync(join(clone, "scripts"), { recursive: true });
  for (const name of ["scripts/bun", "package.json", "bun.lock"])
    copyFileSync(join(projectRoot, name), join(clone, name));
  mkdirSync(bin);
  for (const name of [...tools, ...programs])
    symlinkSync(name === "bun" ? process.execPath : programPath(name), join(bin, name));
  const firstRun = async (registry: number | string, authorities?: string) => {
    const url = typeof registry === "number" ? `http://127.0.0.1:${registry}/` : registry;
    const caches = { npm_config_cache: join(home, "npm"), BUN_INSTALL_CACHE_DIR: join(home, "packages") };
    const command = ["sh", join(clone, "scripts", "bun"), "--version"];
    const child = Bun.spawn(authorities === undefined ? command : withAuthorities(authorities, command), {
      env: { PATH: bin, HOME: home, npm_config_registry: url, ...caches },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [status, output, errors] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
    return { status, output, errors };
  };
  try {
    await body({ clone, firstRun });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

const authoritiesOfSystem = "/etc/ssl/certs/ca-certificates.crt";
const canReplaceAuthorities = process.getuid?.() === 0 && existsSync(authoritiesOfSystem);

function withAuthorities(path: string, command: readonly string[]): string[] {
  const [unshare, sh, mount] = [programPath("unshare"), programPath("sh"), programPath("mount")];
  return [
    unshare,
    "--mount",
    sh,
    "-c",
    `"$0" --bind "$1" ${authoritiesOfSystem}; shift; exec "$@"`,
    mount,
    path,
    ...command,
  ];
}

/** A registry that gives this answer to each request; none if it is undefined. */
async function withRegistry(
  answer: string | undefined,
  body: (port: number, requests: readonly string[]) => Promise<void>,
): Promise<void> {
  const requests: string[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (bytes) => {
      requests.push(/^\S+ ([^ ?]+)/.exec(bytes.toString())?.[1] ?? "");
      if (answer !== undefined) socket.end(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await body((server.address() as AddressInfo).port, requests);
  } finally {
    server.close();
  }
}

/** A registry that finds nothing, with a certificate of an authority that only the file of this authority names. */
async function withAuthority(
  folder: string,
  body: (url: string, authority: string, requests: readonly string[]) => Promise<void>,
): Promise<void> {
  const authority = makeAuthority(folder, "company");
  const { cert, key } = authority.issue("registry", ["IP:127.0.0.1"]);
  const requests: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert: Bun.file(cert), key: Bun.file(key) },
    fetch(request) {
      requests.push(new URL(request.url).pathname);
      return Response.json({}, { status: 404 });
    },
  });
  try {
    await body(server.url.href, authority.cert, requests);
  } finally {
    await server.stop(true);
  }
}

const notFound =
  "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
const withoutNetwork =
  "this needs a network, once; on a machine without one, use a copy of a clone where it has run, or the offline bundle of a release (appliance/manual/install.md)\n";
const npmFails = (port: number): string => `npm does not reach http://127.0.0.1:${port}/ to install Bun ${wanted} (`;
const bunFails = "Bun does not reach the npm registry to install the project's packages: ";

// The silent registries take ten seconds.
describe.concurrent("a first run", () => {
  test("without Bun and npm names both", () =>
    withMachine([], async ({ firstRun }) => {
      expect(await firstRun(await freePort())).toEqual({
        status: 1,
        output: "",
        errors: `neither Bun ${wanted} or newer nor npm to install it with was found: install one (Debian: apt-get install npm; Bun: https://bun.com)\n`,
      });
    }));

  test(
    "with npm says that the registry refuses connections",
    () =>
      withMachine(withNpm, async ({ clone, firstRun }) => {
        const port = await freePort();
        const { status, output, errors } = await firstRun(port);
        expect({ status, output }).toEqual({ status: 1, output: "" });
        expect(errors).toStartWith(npmFails(port));
        expect(errors).toContain("ECONNREFUSED");
        expect(errors).toEndWith(withoutNetwork);
        expect(existsSync(join(clone, ".bun"))).toBe(false);
      }),
    withinMs,
  );

  test(
    "with npm asks a registry that does not answer only once",
    () =>
      withMachine(withNpm, ({ firstRun }) =>
        withRegistry(undefined, async (port, requests) => {
          const { status, errors } = await firstRun(port);
          expect(status).toBe(1);
          expect(errors).toStartWith(npmFails(port));
          expect(errors).toEndWith(withoutNetwork);
          expect(requests).toEqual(["/-/ping"]);
        }),
      ),
    withinMs,
  );

  test(
    "with npm shows what npm says about the answer of a registry",
    () =>
      withMachine(withNpm, ({ firstRun }) =>
        withRegistry(notFound, async (port, requests) => {
          const { status, errors } = await firstRun(port);
          expect(status).toBe(1);
          expect(errors).toStartWith(`installing Bun ${wanted} into .bun/ with npm\n`);
          expect(errors).toContain("E404");
          expect(errors).toEndWith("install Bun yourself (https://bun.com), then run this again\n");
          expect(requests).toContain("/bun");
        }),
      ),
    withinMs,
  );

  test(
    "with Bun says that the registry refuses connections",
    () =>
      withMachine(withBun, async ({ firstRun }) => {
        const { status, output, errors } = await firstRun(await freePort());
        expect({ status, output }).toEqual({ status: 1, output: "" });
        expect(errors).toStartWith("installing the project's packages into node_modules/\nConnectionRefused");
        expect(errors).toEndWith(bunFails + withoutNetwork);
      }),
    withinMs,
  );

  test(
    "with Bun asks a registry that does not answer only once",
    () =>
      withMachine(withBun, ({ firstRun }) =>
        withRegistry(undefined, async (port, requests) => {
          const { status, errors } = await firstRun(port);
          expect(status).toBe(1);
          expect(errors).toEndWith(bunFails + withoutNetwork);
          expect(requests).toEqual(["/postgres"]);
        }),
      ),
    withinMs,
  );

  test.skipIf(findProgram("openssl") === null || !canReplaceAuthorities)(
    "with Bun trusts the authorities of the system, as npm of Debian does (skipped without openssl and root)",
    () =>
      withMachine(withBun, ({ clone, firstRun }) =>
        withAuthority(join(clone, ".."), async (url, authority, requests) => {
          expect((await firstRun(url)).errors).toContain("UNABLE_TO_VERIFY_LEAF_SIGNATURE");
          expect(requests).toEqual([]);
          const { errors } = await firstRun(url, authority);
          expect(errors).toContain("404");
          expect(requests).toEqual(["/postgres"]);
        }),
      ),
    withinMs,
  );

  test("needs no network if the packages are there", () =>
    withMachine(withBun, async ({ clone, firstRun }) => {
      symlinkSync(join(projectRoot, "node_modules"), join(clone, "node_modules"));
      expect(await firstRun(await freePort())).toEqual({ status: 0, output: `${Bun.version}\n`, errors: "" });
    }));
});
