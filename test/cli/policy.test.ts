/** `ostiary policy` with a real node: upload, show, history, rollback and diff. */
import { beforeAll, describe, expect, test } from "bun:test";
import { primaryForAllTests, type Api } from "../http/api.ts";
import { adminKey, withCluster } from "../replication/cluster.ts";
import { workspace } from "./workspace.ts";

const { run, write } = workspace();

const actors = "actor User {}\n";
const blocks = `resource Doc {
  roles = ["reader"];
  permissions = ["read"];
  "read" if "reader";
}
`;
const tests = `test "readers read" {
  setup { has_role(User{"ann"}, "reader", Doc{"plan"}); }
  assert allow(User{"ann"}, "read", Doc{"plan"});
}
`;
const failing = tests.replace("assert allow", "assert_not allow");

let api: Api;
primaryForAllTests(async (started) => {
  api = started;
});
beforeAll(() => {
  write("actors.polar", actors);
  write("blocks.polar", blocks);
  write("tests.polar", tests);
  write("failing.polar", failing);
  write("both.polar", actors + blocks);
});

const access = () => ({ OSO_URL: api.url, OSO_AUTH: adminKey });
const policy = (...words: string[]) => run(["policy", ...words], "", access());
const versions = async () => JSON.parse((await policy("history", "--json")).output) as Record<string, unknown>[];
const active = async () => (await versions())[0];

test("a check shows what a policy would change on the node", async () => {
  await withCluster(
    async (cluster) => {
      const { url } = await cluster.primary();
      const environment = { OSO_URL: url, OSO_AUTH: adminKey };
      const ask = (...words: string[]) => run(["policy", ...words], "", environment);
      expect((await ask("both.polar")).status).toBe(0);
      await run(["tell", "has_role", "User:ann", "reader", "Doc:plan"], "", environment);
      await run(["authorize", "User:ann", "read", "Doc:plan"], "", environment);
      write("other.polar", `${actors}${blocks.replaceAll("reader", "writer")}`);
      const offline = await run(["policy", "check", "both.polar", "tests.polar"], "", {});
      expect(offline).toEqual({ status: 0, output: "pass  readers read (1 of 1)\n1 of 1 tests passed\n", errors: "" });
      const effect = await ask("check", "--effect", "other.polar");
      expect([effect.status, effect.errors]).toEqual([0, ""]);
      expect(effect.output).toContain("would still use all stored facts");
      expect(effect.output).toContain('User{"ann"} read Doc{"plan"}: allow -> deny');
      expect(effect.output).toContain("1 of 1 decisions would change");
      const parsed = JSON.parse((await ask("check", "--effect", "--json", "--decisions", "0", "other.polar")).output);
      expect(parsed).toMatchObject({ tests: { success: true }, unused_facts: [], decisions: null });
      expect((await ask("check", "--effect", "both.polar", "failing.polar")).status).toBe(1);
      expect((await ask("check", "--decisions", "many", "both.polar")).status).toBe(2);
    },
    { "decisions.log": "all" },
  );
});

test("without logged decisions nothing looks as if it had been checked", async () => {
  const isOff = "the decision log of the node is off; its setting `decisions.log` turns it on";
  const ostiary = (...words: string[]) => run(words, "", access());
  expect((await policy("check", "--effect", "--decisions", "0", "both.polar")).status).toBe(0);
  for (const format of [[], ["--json"]]) {
    const effect = await policy("check", "--effect", ...format, "both.polar");
    expect([effect.status, effect.errors]).toEqual([1, expect.stringContaining(isOff)]);
    expect(effect.output).not.toContain("would change");
    const replay = await ostiary("decisions", "replay", ...format, "--policy", "both.polar");
    expect([replay.status, replay.errors]).toEqual([1, expect.stringContaining(isOff)]);
    const log = await ostiary("decisions", ...format);
    expect([log.status, log.errors]).toEqual([1, expect.stringContaining(`the decision log of ${api.url} is off`)]);
    const parity = await ostiary("parity", "--fail-on-mismatch", ...format);
    expect([parity.status, parity.errors]).toEqual([1, expect.stringContaining("no decision was compared")]);
  }
  expect(JSON.parse((await policy("check", "--effect", "--json", "both.polar")).output)).toMatchObject({
    decisions: { replayed: 0, log: "off" },
  });
  expect((await ostiary("traces", "--route", "/nowhere")).errors).toContain("the node has no such trace");
  expect(await ostiary("decisions", "--follow")).toMatchObject({ status: 1, output: "" });
  const { json } = await api.call("POST", "/api/keys", { body: { name: "ci", role: "read" } });
  const reader = { ...access(), OSO_AUTH: (json as { token: string }).token };
  const effect = await run(["policy", "check", "--effect", "both.polar"], "", reader);
  expect([effect.status, effect.errors]).toEqual([1, expect.stringContaining("need a key with the role `admin`")]);
});

test("every step of a policy's life, from no policy to a rollback", async () => {
  expect(await policy("show")).toEqual({
    status: 1,
    output: "",
    errors: "error: no policy was loaded yet; `ostiary policy policy.polar` loads one\n",
  });
  expect((await policy("history")).output).toBe("ID  ACTIVE  TIME  BYTES  AUTHOR  FILE  MESSAGE\n");
  expect((await policy("diff")).errors).toContain("no policy was loaded yet");

  const first = await policy("both.polar", "--message", "first \u0007one");
  expect(first).toEqual({ status: 0, output: "policy loaded (version 1)\n", errors: "" });
  expect((await policy("both.polar")).output).toBe("policy unchanged (version 1)\n");
  expect((await policy("diff")).errors).toContain("there is only one version of the policy");

  const several = await policy("actors.polar", "-f", "tests.polar", "blocks.polar", "-m", "with tests");
  expect(several).toEqual({ status: 0, output: "policy loaded (version 2)\n", errors: "" });
  expect(await active()).toMatchObject({
    id: 2,
    active: true,
    filename: "tests.polar, actors.polar, blocks.polar",
    author: { id: "admin", name: "admin" },
    message: "with tests",
  });

  const joined = [tests, actors, blocks].join("\n");
  expect(await policy("show")).toEqual({ status: 0, output: joined, errors: "" });
  expect(await policy("show", "--id", "1")).toEqual({ status: 0, output: actors + blocks, errors: "" });
  expect(await policy("show", "1")).toEqual({ status: 0, output: actors + blocks, errors: "" });
  expect(JSON.parse((await policy("show", "--id", "1", "--json")).output)).toEqual({
    filename: "both.polar",
    src: actors + blocks,
  });
  expect(await policy("show", "--id", "9")).toEqual({
    status: 1,
    output: "",
    errors: "error: there is no version `9`; `ostiary policy history` lists the versions\n",
  });

  const back = await policy("rollback", "1", "--message", "no tests");
  expect(back).toEqual({ status: 0, output: "policy loaded (version 3)\n", errors: "" });
  expect((await policy("rollback", "3", "--json")).output).toBe('{\n  "result": "unchanged",\n  "id": 3\n}\n');
  const { output } = await policy("history");
  const lines = output
    .trimEnd()
    .split("\n")
    .map((line) => line.replace(/\d{4}-\S+Z/, "TIME"));
  const [small, large] = [String((actors + blocks).length), String(joined.length)];
  expect(lines.map((line) => line.split(/ {2,}/))).toEqual([
    ["ID", "ACTIVE", "TIME", "BYTES", "AUTHOR", "FILE", "MESSAGE"],
    ["3", "yes", "TIME", small, "admin (admin)", "both.polar", "rollback to 1: no tests"],
    ["2", "no", "TIME", large, "admin (admin)", "tests.polar, actors.polar, blocks.polar", "with tests"],
    ["1", "no", "TIME", small, "admin (admin)", "both.polar", "first \\u0007one"],
  ]);

  const events = await run(["events"], "", access());
  expect(events.output).toContain(
    'policy both.polar loaded (number 3, 6 lines) by key admin "admin": rollback to 1: no tests\n',
  );
});

describe("an upload", () => {
  test("is checked here first: problems name file and line", async () => {
    write("broken.polar", "\nresource Doc { roles = [}\n");
    const refused = await policy("actors.polar", "broken.polar");
    expect([refused.status, refused.output]).toEqual([1, ""]);
    expect(refused.errors).toContain("broken.polar:2:25: error: ");
    const before = await active();
    const failed = await policy("both.polar", "failing.polar");
    expect(failed.status).toBe(1);
    expect(failed.output).toContain("FAIL  readers read (0 of 1)");
    expect(failed.output).toContain("failing.polar:3:3: error: expected false, came true");
    const json = await policy("--json", "both.polar", "failing.polar");
    expect([json.status, JSON.parse(json.output)]).toMatchObject([
      1,
      { success: false, tests: [{ name: "readers read", passed: 0, total: 1 }] },
    ]);
    expect((await policy("both.polar", "missing.polar")).errors).toContain("missing.polar:1:1: error: the file cannot");
    expect(await active()).toEqual(before);
  });

  test("with failing tests is loaded with --force", async () => {
    const forced = await policy("--force", "--json", "both.polar", "failing.polar");
    expect([forced.status, JSON.parse(forced.output)]).toMatchObject([0, { result: "loaded" }]);
    expect(await active()).toMatchObject({ filename: "both.polar, failing.polar" });
    await policy("both.polar", "-m", "again");
    const { id } = (await versions())[1] as { id: number };
    const refused = await policy("rollback", String(id));
    expect([refused.status, refused.output]).toEqual([1, ""]);
    expect(refused.errors).toContain("refused the policy: tests of the policy fail: `readers read`");
    expect((await policy("rollback", String(id), "--force")).status).toBe(0);
    await policy("both.polar");
  });

  test("prints warnings once, with file and line, and names facts that the policy does not use", async () => {
    await policy("both.polar");
    const args = [
      { type: "User", id: "ann" },
      { type: "String", id: "reader" },
      { type: "Doc", id: "plan" },
    ];
    await api.call("POST", "/api/batch", { body: [{ inserts: [{ predicate: "has_role", args }] }] });
    write("other.polar", 'resource Org { roles = ["member"]; }\n');
    const { status, output, errors } = await policy("actors.polar", "other.polar");
    expect([status, output]).toEqual([0, expect.stringMatching(/^policy loaded \(version \d+\)\n$/)]);
    expect(errors).toContain("other.polar:1:25: warning: role `member` of `Org` is in no rule");
    expect(errors.match(/is in no rule/g)).toHaveLength(1);
    expect(errors).toContain(
      "warning: the policy no longer uses stored facts: 1 `has_role(User, String, Doc)`; they stay",
    );
    await policy("both.polar");
  });

  test("has no default files in its help", async () => {
    const { output } = await policy("--help");
    expect(output).toContain("--file <file>");
    expect(output).not.toContain("default: []");
  });

  test("reads files with the names of subcommands after -f", async () => {
    write("show", actors);
    expect((await policy("-f", "show")).output).toStartWith("policy loaded");
    expect(await active()).toMatchObject({ filename: "show", bytes: actors.length });
    expect((await policy("show")).output).toBe(actors);
    await policy("both.polar");
  });

  test("that only the node refuses has problems in the right files, too", () =>
    withCluster(
      async (cluster) => {
        const primary = await cluster.primary();
        const environment = { OSO_URL: primary.url, OSO_AUTH: adminKey };
        write(
          "deep.polar",
          `\r\n${blocks}is_in(user: User, doc: Doc) if has_role(user, "reader", doc) and not (not (has_role(user, "reader", doc)));\n`,
        );
        const { status, output, errors } = await run(["policy", "actors.polar", "deep.polar"], "", environment);
        expect([status, output]).toEqual([1, ""]);
        expect(errors).toContain(
          `error: ${primary.url} refused the policy\ndeep.polar:7:71: error: expression is nested`,
        );
      },
      { "advanced.policyNestingMax": "1" },
    ));

  test.each([
    ["without a file", [], "no policy file was named"],
    ["of a number that is none", ["rollback", "x"], "`x` is not the number of a version"],
    ["of three versions", ["diff", "1", "2", "3"], "more than two policies to compare"],
    ["of two versions and a file", ["diff", "1", "2", "both.polar"], "more than two policies to compare"],
  ])("or another command %s is wrong usage", async (_, words, message) => {
    const { status, errors } = await policy(...words);
    expect(status).toBe(2);
    expect(errors).toContain(message);
  });

  test("needs a node that answers, and a key that may write", async () => {
    expect((await run(["policy", "both.polar"], "", { OSO_URL: api.url })).errors).toContain("OSO_AUTH is not set");
    const { json } = await api.call("POST", "/api/keys", { body: { name: "reads", role: "read" } });
    const { token } = json as { token: string };
    const refused = await run(["policy", "actors.polar"], "", { OSO_URL: api.url, OSO_AUTH: token });
    expect([refused.status, refused.errors]).toEqual([
      1,
      `error: ${api.url} answered 403: this API key may only \`read\`, \`POST /api/policy\` needs a key with the role \`write\` or \`admin\`\n`,
    ]);
    const shown = await run(["policy", "show"], "", { OSO_URL: api.url, OSO_AUTH: token });
    expect(shown.status).toBe(0);
    const away = await run(["policy", "both.polar", "--url", "http://127.0.0.1:1"], "", access());
    expect([away.status, away.errors]).toEqual([1, expect.stringContaining("no answer from http://127.0.0.1:1")]);
  });
});

describe("a comparison", () => {
  const changed = blocks
    .replace('"read" if "reader";', '"read" if "reader" on "parent";')
    .replace("}", "} # \u001b[2J");
  const patch = (from: string, to: string) => `--- ${from}
+++ ${to}
@@ -1,3 +1,4 @@
 # a
-# b
+# c
 # d
+# e
`;

  test("of versions and files is a unified diff; the status says if they differ", async () => {
    write("a.polar", "# a\n# b\n# d\n");
    write("c.polar", "# a\n# c\n# d\n# e\n");
    await policy("a.polar");
    const { id: one } = (await active()) as { id: number };
    await policy("c.polar");
    const two = one + 1;
    const expected = { status: 1, output: patch(`version ${one}`, `version ${two}`), errors: "" };
    expect(await policy("diff")).toEqual(expected);
    expect(await policy("diff", String(one))).toEqual(expected);
    expect(await policy("diff", String(one), String(two))).toEqual(expected);
    expect((await policy("diff", String(one), "c.polar")).output).toBe(patch(`version ${one}`, "c.polar"));
    expect(await policy("diff", "c.polar")).toEqual({ status: 0, output: "", errors: "" });
    expect(await policy("diff", String(two))).toEqual({ status: 0, output: "", errors: "" });
    const json = await policy("diff", "--json");
    expect(JSON.parse(json.output)).toEqual({
      from: `version ${one}`,
      to: `version ${two}`,
      patch: patch(`version ${one}`, `version ${two}`),
    });
    // Several files are compared as they would be uploaded.
    write("rest.polar", "# d\n# e\n");
    write("begin.polar", "# a\n# c");
    expect((await policy("diff", "begin.polar", "rest.polar")).status).toBe(0);
    expect((await policy("diff", "missing.polar")).errors).toContain("`missing.polar`: the file cannot be read");
  });

  test("is coloured on request, without control sequences of the policy", async () => {
    write("b.polar", actors + blocks);
    write("changed.polar", actors + changed);
    await policy("b.polar");
    const { output } = await run(["policy", "diff", "changed.polar"], "", { ...access(), FORCE_COLOR: "1" });
    expect(output).toMatch(/^--- version \d+\n\+\+\+ changed.polar\n\u001b\[36m@@/);
    expect(output).toContain('\u001b[31m-  "read" if "reader";\u001b[0m\n');
    expect(output).toContain('\u001b[32m+  "read" if "reader" on "parent";\u001b[0m\n');
    expect(output).toContain("\u001b[32m+} # \\u001b[2J\u001b[0m\n");
    // A patch for another program is unchanged.
    const { output: plain } = await policy("diff", "changed.polar");
    expect(plain).toContain("+} # \u001b[2J\n");
  });
});
