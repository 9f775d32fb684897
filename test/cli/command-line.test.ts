/** The command line in a temporary directory; clusters are in `test/e2e/`. */
import * as Bun from "bun";
import { describe, expect, test } from "bun:test";
import { readdirSync, renameSync } from "node:fs";
import { boundUrl, errorReporter } from "../../src/cli/serve.ts";
import { formerSettings, settings } from "../../src/config/settings.ts";
import { readUntil } from "./read-until.ts";
import { workspace } from "./workspace.ts";

const { run: runWith, start, path, write } = workspace();
const run = (parameters: readonly string[], environment = {}) => runWith(parameters, "", environment);

describe("help", () => {
  test("of serve shows every setting with its flag, variable, description and default", async () => {
    const { status, output } = await run(["serve", "--help", "--all"]);
    expect(status).toBe(0);
    const flat = output.replace(/\s+/g, " ");
    for (const { flag, variable, description, default: value } of settings) {
      expect(flat).toContain(`${flag} <`);
      expect(flat).toContain(`[${variable}]`);
      expect(flat).toContain(description);
      if (value !== undefined && value !== "") expect(flat).toContain(`(default: ${String(value)})`);
    }
  });

  test("of serve hides the advanced settings without --all, and the names of 0.1.0 always", async () => {
    const { status, output } = await run(["serve", "--help"]);
    expect(status).toBe(0);
    for (const { flag, group } of settings) expect(output.includes(` ${flag} <`)).toBe(group !== "advanced");
    expect(output).toContain("--all");
    const { output: all } = await run(["serve", "--help", "--all"]);
    for (const text of [output, all]) {
      expect(text).not.toContain("--limits-");
      for (const { flag } of formerSettings) expect(text).not.toContain(` ${flag} <`);
    }
  });

  test("is printed without a command, with examples", async () => {
    const { status, errors } = await run([]);
    expect(status).toBe(2);
    expect(errors).toContain("Examples:");
  });
});

describe("a policy file that cannot be read is a problem of the policy, with status 1", () => {
  const binary = (): string => write("binary.polar", new Uint8Array([0xff, 0xfe, 0x00]));
  test.each([
    [
      "a missing file",
      () => "nowhere.polar",
      "the file cannot be read: there is no such file; name a readable policy file",
    ],
    ["a directory", () => ".", "the file cannot be read: it is a directory; name a readable policy file"],
    ["a binary file", binary, "the file is not UTF-8 text"],
  ])("%s", async (_, file, message) => {
    const path = file();
    const told = await run(["validate", path]);
    expect(told.status).toBe(1);
    expect(told.errors).toContain(`${path}:1:1: error: ${message} [file/unreadable]`);
    const asJson = await run(["test", "--json", path]);
    expect(asJson.status).toBe(1);
    expect(JSON.parse(asJson.output)).toMatchObject({ success: false, problems: [{ line: 1, column: 1, message }] });
  });
});

describe("wrong usage has status 2 and a message with the correct usage", () => {
  test.each([
    ["an unknown command", () => ["serv"], "did you mean `serve`?"],
    ["an unknown flag", () => ["serve", "--prot", "1"], "Did you mean --port?"],
    ["a missing argument", () => ["validate"], "missing required argument"],
    ["no configuration file", () => ["config", "--config", "nowhere.yaml"], "`nowhere.yaml` cannot be read"],
    ["an edge without a primary", () => ["serve", "--role", "edge"], "2 settings are wrong"],
    ["a port for dev", () => ["dev", "--port", "many"], "port is `many`"],
    [
      "--all without --help",
      () => ["serve", "--role", "primary", "--all"],
      "`--all` belongs to `--help`: `ostiary serve --help --all` shows every setting; without `--help`, omit `--all`",
    ],
    ["the same for config", () => ["config", "--all"], "`ostiary config --help --all`"],
    ["keys without a key", () => ["keys", "list"], "OSO_AUTH is not set"],
    [
      "a role of a key",
      () => ["keys", "create", "--name", "x", "--role", "god"],
      "Allowed choices are admin, write, read",
    ],
  ])("%s", async (_name, parameters, said) => {
    const { status, output, errors } = await run(parameters());
    expect(errors).toContain(said);
    expect({ status, output }).toEqual({ status: 2, output: "" });
    expect(errors).not.toContain("    at ");
  });

  test("a policy that is not text", async () => {
    write("binary.polar", Buffer.from([0xff, 0xfe, 0x00]));
    expect((await run(["validate", "binary.polar"])).errors).toContain("is not UTF-8 text");
  });
});

test("config prints the effective settings, as YAML or JSON", async () => {
  const file = write("node.yaml", "role: primary\nadvanced:\n  batchEntriesMax: 7\n");
  const { output } = await run(["config", "--config", file, "--json", "--refresh", "1h"]);
  expect(JSON.parse(output)).toMatchObject({
    role: "primary",
    refresh: "1h",
    advanced: { batchEntriesMax: 7, queryTimeMsMax: "20s" },
  });
  const byVariable = await run(["config"], { OSTIARY_CONFIG: file, OSTIARY_NODE_KEY: "0123456789abcdef-secret" });
  expect(byVariable.output).toContain("batchEntriesMax: 7");
  expect(byVariable.output).not.toContain("0123456789abcdef");
});

test("config accepts the names of 0.1.0 as flag, variable and key, and warns of each on standard error", async () => {
  const file = write("old.yaml", "role: primary\nlimits:\n  logEventsKept: 7\n");
  const { status, output, errors } = await run(
    [
      "config",
      "--config",
      file,
      "--json",
      "--limits-decision-memo-entries-max",
      "8",
      "--plan-nodes-max",
      "9",
      "--topic-prefix",
      "x",
    ],
    { OSTIARY_LIMITS_LOG_BYTES_KEPT: "9MiB" },
  );
  expect(status).toBe(0);
  expect(JSON.parse(output)).toMatchObject({
    retention: { events: 7, bytes: "9MiB" },
    advanced: { decisionCacheEntriesMax: 8, planNodesMax: 9, topicPrefix: "x" },
  });
  const warnings = errors.trimEnd().split("\n");
  expect(warnings.map((line) => line.split(" ").slice(0, 2).join(" "))).toEqual([
    "warning: limits.logEventsKept",
    "warning: limits.logBytesKept",
    "warning: limits.decisionMemoEntriesMax",
    "warning: advanced.planNodesMax",
  ]);
  expect(warnings[2]).toEndWith(
    "from the flag --limits-decision-memo-entries-max is the old name of advanced.decisionCacheEntriesMax (OSTIARY_DECISION_CACHE_ENTRIES_MAX, --decision-cache-entries-max); the next release does not accept it",
  );
});

test.each([["version"], ["--version"], ["-V"]])("%s prints the version", async (how) => {
  expect(await run([how])).toMatchObject({ status: 0, output: expect.stringMatching(/^ostiary \d+\.\d+\.\d+ \(Bun /) });
});

test("the address that a node logs has its port, also if that is 80", () => {
  expect(boundUrl("0.0.0.0", "http://127.0.0.1:80")).toBe("http://0.0.0.0:80");
  expect(boundUrl("::", "http://127.0.0.1:80")).toBe("http://[::]:80");
  expect(boundUrl("node-a", "http://node-a:8080")).toBe("http://node-a:8080");
});

test("config names the ignored variables of Kubernetes", async () => {
  const ofService = { OSTIARY_SERVICE_HOST: "10.0.0.1", OSTIARY_PORT: "tcp://10.0.0.1:8080" };
  const { status, output, errors } = await run(["config", "--role", "primary", "--json"], ofService);
  expect({ status, port: (JSON.parse(output) as { port: number }).port }).toEqual({ status: 0, port: 8080 });
  expect(errors).toBe(
    "note: Kubernetes has set OSTIARY_SERVICE_HOST, OSTIARY_PORT for a Service, and they are ignored: set `enableServiceLinks: false` in the pod to avoid them\n",
  );
});

test.each([[["version", "--json"]], [["--version", "--json"]], [["--json", "-V"]]])(
  "%p is JSON",
  async (parameters) => {
    const { status, output, errors } = await run(parameters);
    expect({ status, errors }).toEqual({ status: 0, errors: "" });
    const { commit, ...others } = JSON.parse(output) as Record<string, unknown>;
    expect(others).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
      runtime: "Bun",
      runtimeVersion: Bun.version,
    });
    // There is none if it is built outside of a repository.
    expect(String(commit)).toMatch(/^(null|[0-9a-f]{7,40}(-modified)?)$/);
  },
);

describe("policies", () => {
  const blocks =
    'actor User {}\nresource Doc {\n  roles = ["reader"];\n  permissions = ["read"];\n  "read" if "reader";\n}\n';

  test("several files form one policy, and problems name their file", async () => {
    const [first, second] = [
      write("first.polar", blocks),
      write("second.polar", 'test "t" {\n  assert allow(User{"a"}, "raed", Doc{"d"});\n}\n'),
    ];
    const { status, output } = await run(["test", first, second]);
    expect(status).toBe(1);
    expect(output).toContain("FAIL  t (0 of 1)");
    const broken = write("third.polar", "has_role(");
    expect((await run(["validate", first, broken])).errors).toContain("third.polar:1:");
  });

  test("as JSON the report is the whole output", async () => {
    const valid = await run(["validate", "--json", write("valid.polar", blocks)]);
    expect(valid.status).toBe(0);
    expect(JSON.parse(valid.output)).toEqual({ success: true, problems: [] });
    const tested = await run(["test", "--json", write("untested.polar", blocks)]);
    expect(JSON.parse(tested.output)).toEqual({ success: true, problems: [], tests: [], errors: [], failures: [] });
    const untested = await run(["test", "--json", "--coverage", "untested.polar"]);
    expect(JSON.parse(untested.output)).toMatchObject({
      coverage: {
        rules: 1,
        exercised: 0,
        unexercised: [{ file: "untested.polar", line: 5, rule: '"read" if "reader"' }],
      },
    });
  });

  test("a failed assertion is printed with the expected and the actual result and the reason", async () => {
    const file = write(
      "failing.polar",
      `${blocks}test "t" {\n  setup { has_role(User{"ann"}, "reader", Doc{"d"}); }\n  assert_not allow(User{"ann"}, "read", Doc{"d"});\n}\n`,
    );
    const { status, output } = await run(["test", "--coverage", file]);
    expect(status).toBe(1);
    expect(output).toBe(`FAIL  t (0 of 1)

failing.polar:9:3: error: expected false, came true [test/failed]
      assert_not allow(User{"ann"}, "read", Doc{"d"});
      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    has_permission(User{"ann"}, "read", Doc{"d"}) by "read" if "reader" (failing.polar:5:3)
      has_role(User{"ann"}, "reader", Doc{"d"}) is a fact

0 of 1 tests passed
1 of 1 rules exercised by tests
`);
  });

  test("with --watch they are tested again after each change, until a stop signal", async () => {
    const file = write("watched.polar", blocks);
    const child = await start(["test", "--watch", "--json", file]);
    const decoder = new TextDecoder();
    const reports: { success: boolean }[] = [];
    let rest = "";
    const changes = [`${blocks}nonsense`, blocks];
    for await (const chunk of child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      reports.push(...lines.map((line) => JSON.parse(line) as { success: boolean }));
      const next = changes[reports.length - 1];
      // Editors overwrite a file, or replace it.
      if (next === undefined) child.kill("SIGINT");
      else if (reports.length === 1) write(file, next);
      else {
        write("replacement.polar", next);
        renameSync(path("replacement.polar"), path(file));
      }
    }
    expect(reports.map(({ success }) => success)).toEqual([true, false, true]);
    expect(await child.exited).toBe(0);
  });
});

describe("a node", () => {
  const adminKey = "e_default_admin_0123456789abcdef0123";

  test("serves, creates keys, warns of a setting with its name of 0.1.0, and ends cleanly on SIGTERM", async () => {
    const oldName = ["--limits-api-keys-max", "7", "--log-format", "json"];
    const node = await start(["serve", "--role", "primary", ...oldName], {
      OSTIARY_PORT: "0",
      OSTIARY_MQTT_PORT: "0",
      OSTIARY_DATA: path("data"),
      OSTIARY_ADMIN_KEY: adminKey,
    });
    const [, line = "", url = ""] = await readUntil(
      node.stderr,
      /^(.*limits\.apiKeysMax.*)\n[^]*listens on (http:[^\s"]+)/m,
    );
    expect(JSON.parse(line)).toMatchObject({
      level: "warning",
      message:
        "limits.apiKeysMax from the flag --limits-api-keys-max is the old name of advanced.apiKeysMax (OSTIARY_API_KEYS_MAX, --api-keys-max); the next release does not accept it",
    });
    const access = { OSO_URL: url, OSO_AUTH: adminKey };

    const made = await run(["keys", "create", "--name", "billing", "--role", "read"], access);
    expect(made.output).toMatch(/^e_default_\w+_\w+\n$/);
    const id = made.output.split("_")[2] ?? "";
    const listed = await run(["keys", "list"], access);
    const [headings, ...rows] = listed.output.trimEnd().split("\n");
    expect(headings).toMatch(/^ID +ROLE +CREATED +EXPIRES +LAST USED +NAME$/);
    const row = rows.find((line) => line.startsWith(`${id} `)) ?? "";
    expect(row).toMatch(/^\w+ +read +\d{4}-\d\d-\d\dT[\d:.]+Z +never +- +billing$/);
    for (const [heading, text] of [
      ["ROLE", "read"],
      ["NAME", "billing"],
    ] as const)
      expect(row.indexOf(text)).toBe(headings?.indexOf(heading) ?? -1);
    expect(listed.output).not.toContain(made.output.trim());
    const asJson = JSON.parse((await run(["keys", "list", "--json"], access)).output) as object[];
    expect(asJson).toContainEqual({ id, name: "billing", role: "read", created: expect.any(String), last_used: null });
    expect((await run(["keys", "list"], { ...access, OSO_AUTH: made.output })).errors).toContain("answered 403");
    expect((await run(["keys", "revoke", id], access)).output).toBe(`revoked ${id}\n`);
    expect((await run(["keys", "revoke", id], access)).status).toBe(1);
    const yaml = "facts:\n  is_public(Repo:_):\n    query: SELECT id FROM repos\n";
    const file = write("bindings.yaml", yaml);
    const bindings = async (...words: string[]) => await run(["bindings", ...words], access);
    expect((await bindings("put", "shop", file)).output).toBe("stored shop\n");
    expect(JSON.parse((await bindings("put", "shop", file, "--json")).output)).toEqual({
      name: "shop",
      unchanged: true,
    });
    expect((await bindings("list")).output).toMatch(/^NAME {2}BYTES {2}STORED\nshop {2}\d+ +\d{4}-\S+Z\n$/);
    expect((await bindings("get", "shop")).output).toBe(yaml);
    expect((await bindings("get", "other")).errors).toContain("answered 404: no data bindings are stored under");
    expect((await bindings("put", "shop", "missing.yaml")).errors).toContain("`missing.yaml` cannot be read");
    expect((await bindings("delete", "shop")).output).toBe("deleted shop\n");
    expect(JSON.parse((await bindings("list", "--json")).output)).toEqual([]);
    const other = await run(["keys", "create", "--name", "shop", "--json"], access);
    const { id: otherId, ...others } = JSON.parse(other.output) as Record<string, string>;
    expect(others).toEqual({
      name: "shop",
      role: "write",
      token: expect.stringMatching(new RegExp(`^e_default_${otherId}_`)),
    });
    const revoked = await run(["keys", "revoke", "--json", otherId ?? ""], access);
    expect(JSON.parse(revoked.output)).toEqual({ id: otherId, revoked: true });
    expect((await run(["health", "--url", access.OSO_URL])).status).toBe(0);
    const page = await (await fetch(`${access.OSO_URL}/console/`)).text();
    const script = /src="\.\/([^"]+\.js)"/.exec(page)?.[1] ?? "";
    expect((await fetch(`${access.OSO_URL}/console/${script}`)).headers.get("content-type")).toContain("javascript");

    node.kill("SIGTERM");
    expect(await node.exited).toBe(0);
    expect((await run(["keys", "list"], access)).errors).toContain("error: no answer from http://127.0.0.1:");
  });

  test("that waits for its primary ends immediately on a signal", async () => {
    const parameters = [
      "serve",
      "--role",
      "edge",
      "--primary",
      "http://127.0.0.1:9",
      "--port",
      "0",
      "--data",
      path("edge"),
    ];
    const node = await start(parameters, { OSTIARY_NODE_KEY: "0123456789abcdef-secret" });
    await readUntil(node.stderr, /trying again/);
    expect(node.exitCode).toBeNull();
    node.kill("SIGTERM");
    expect(await node.exited).toBe(0);
  });

  test("for development refuses a wrong policy with its position, and leaves no files", async () => {
    const before = readdirSync(path(""));
    const { status, output, errors } = await run(["dev", write("wrong.polar", "actor User {}\nallow(")], {
      TMPDIR: path(""),
    });
    expect({ status, output }).toEqual({ status: 1, output: "" });
    expect(errors).toContain("wrong.polar:2:");
    expect(readdirSync(path("")).filter((name) => !before.includes(name))).toEqual(["wrong.polar"]);
  });
});

test("an error without a code is reported once per interval, also if it is null or undefined", () => {
  const written: unknown[] = [];
  const report = errorReporter((error) => written.push(error));
  for (const error of [undefined, null, "text", undefined, null, Object.assign(new Error("x"), { code: "EIO" })])
    report(error);
  expect(written).toEqual([undefined, null, "text", expect.objectContaining({ code: "EIO" })]);
});
