/** Secrets in files of their own: what is read, what is refused, and which permissions cause a warning. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/load.ts";
import { nodeKeysIn } from "../../src/config/node-key.ts";
import { describeConfig } from "../../src/config/settings.ts";
import { must } from "../../src/util/assert.ts";

const adminKey = "e_default_admin_0123456789abcdef0123456789abcdef";
const nodeKey = "n_0123456789abcdef";
let directory = "";

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "ostiary-secret-"));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function secretFile(content: string | Uint8Array, mode = 0o400): string {
  const path = join(directory, `secret-${Math.random()}`);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const load = (flags: Readonly<Record<string, string>>, environment: Readonly<Record<string, string>> = {}) =>
  loadConfig({ environment, flags: { role: "primary", ...flags } });

describe("a file with a secret", () => {
  test("takes the place of the setting, with or without a line break at its end", () => {
    for (const end of ["", "\n", "\r\n"]) {
      const environment = { OSTIARY_NODE_KEY_FILE: secretFile(nodeKey + end) };
      const { config, warnings } = load({ adminKeyFile: secretFile(adminKey + end) }, environment);
      expect(config).toMatchObject({ adminKey, nodeKey });
      expect(warnings).toEqual([]);
    }
  });

  test("can have two node keys, one per line, while the key is replaced", () => {
    for (const text of [`${nodeKey}1\n${nodeKey}2\n`, `${nodeKey}1\r\n${nodeKey}2`, `${nodeKey}1 ${nodeKey}2`]) {
      const { config, problems } = load({ nodeKeyFile: secretFile(text) });
      expect(problems).toEqual([]);
      expect(nodeKeysIn(must(config?.nodeKey))).toEqual([`${nodeKey}1`, `${nodeKey}2`]);
      expect(JSON.stringify(describeConfig(must(config)))).not.toContain(nodeKey);
    }
    const problem = must(load({ nodeKeyFile: secretFile(`${nodeKey}\n${nodeKey}\n`) }).problems[0]);
    expect(problem).toContain("two different ones");
    expect(problem).not.toContain(nodeKey);
  });

  test("with a node key of few different characters causes a warning, and can be replaced", () => {
    for (const key of ["passwordpassword", `passwordpassword ${nodeKey}`, `${nodeKey} aaaaaaaaaaaaaaaa`]) {
      const { problems, warnings } = load({ nodeKey: key });
      expect([problems, warnings]).toEqual([[], [expect.stringContaining("`openssl rand -hex 32`")]]);
      expect(warnings.join()).not.toContain("password");
    }
    expect(load({ nodeKey: `${nodeKey} ${nodeKey}1` }).warnings).toEqual([]);
  });

  test("can be a symbolic link, as Kubernetes mounts it", () => {
    const link = join(directory, "link");
    symlinkSync(secretFile(adminKey), link);
    expect(load({ adminKeyFile: link }).config?.adminKey).toBe(adminKey);
  });

  test("is refused if it is missing, no file, or holds something else; no message repeats its content", () => {
    const problem = (path: string) => must(load({ adminKeyFile: path }).problems[0]);
    expect(problem("/nowhere/key")).toBe(
      "the file `/nowhere/key` of adminKeyFile can't be read: there is no such file; name another, or make it readable for this process",
    );
    expect(problem(directory)).toContain("it is a directory");
    for (const content of [
      "",
      "\n",
      `${adminKey}\n\n`,
      ` ${adminKey}`,
      "secret-text",
      "x".repeat(4000),
      new Uint8Array([255, 0]),
    ]) {
      const text = problem(secretFile(content));
      expect(text).toContain("holds no valid adminKey; allowed: `e_<environment>_<key id>_<secret>`");
      expect(text).not.toMatch(/0123456789abcdef|secret-text|xxx/);
    }
    expect(problem(secretFile("x".repeat(100_000)))).toContain("it is larger than 4 KiB");
    const pipe = join(directory, "pipe");
    execFileSync("mkfifo", [pipe]);
    for (const path of [pipe, "/dev/zero"]) expect(problem(path)).toContain("it is no regular file");
    // The checks of the setting hold for the file as well.
    const other = secretFile("e_other_admin_0123456789abcdef");
    expect(problem(other)).toContain("adminKey is a key of environment `other`");
  });

  test("and the setting cannot both be set", () => {
    const { problems } = load({ adminKeyFile: secretFile(adminKey), adminKey });
    expect(problems).toEqual(["adminKey and adminKeyFile are both set; remove one of them"]);
  });

  test("causes a warning if other users may read or change it", () => {
    for (const [mode, isWarned] of [
      [0o400, false],
      [0o600, false],
      [0o440, true],
      [0o444, true],
      [0o602, true],
    ] as const) {
      const { warnings } = load({ adminKeyFile: secretFile(adminKey, mode) });
      expect([mode, warnings.length]).toEqual([mode, isWarned ? 1 : 0]);
      if (isWarned) expect(warnings[0]).toContain("can be read or changed by other users of this machine");
    }
  });

  test("is named by `ostiary config`, the secret is not", () => {
    const path = secretFile(adminKey);
    const described = describeConfig(must(load({ adminKeyFile: path }).config));
    expect(described).toMatchObject({ adminKeyFile: path });
    expect(described).not.toHaveProperty("adminKey");
  });
});
