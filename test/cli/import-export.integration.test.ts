/** `ostiary export` and `ostiary import facts` with real nodes: all facts, errors with their lines, and interruptions. */
import * as Bun from "bun";
import { beforeEach, describe, expect, test } from "bun:test";
import { existsSync, lstatSync, symlinkSync } from "node:fs";
import { builtBinary } from "../../scripts/built-binary.ts";
import { admin, apiOf, fact, Org, primaryForAllTests, Repo, role, value, withPrimary, type Api } from "../http/api.ts";
import { adminKey, withCluster } from "../replication/cluster.ts";
import { workspace } from "./workspace.ts";

const { run, start, write, read, path } = workspace();

const polar = `
actor User {}
resource Org { roles = ["member"]; permissions = ["read"]; "read" if "member"; }
resource Repo { roles = ["member"]; permissions = ["read"]; relations = { org: Org }; "read" if "member"; "member" if "member" on "org"; }
`;

const access = (url: string) => ({ OSO_URL: url, OSO_AUTH: adminKey });
const ndjson = (facts: readonly object[]): string => facts.map((one) => `${JSON.stringify(one)}\n`).join("");

const many = [
  ...Array.from({ length: 2600 }, (_, index) => role(`user-${index % 700}`, "member", Org(`org-${index}`))),
  ...Array.from({ length: 50 }, (_, index) =>
    fact("has_relation", Repo(`"\u0007é${index}`), value("String", "org"), Org(`org-${index}`)),
  ),
];

async function withPolicy(body: (api: Api) => Promise<void>, flags = {}): Promise<void> {
  await withPrimary(async (api) => {
    expect((await api.call("POST", "/api/policy", { body: { src: polar } })).status).toBe(200);
    await body(api);
  }, flags);
}

async function countOf(api: Api, predicate: string): Promise<number> {
  return ((await api.call("GET", `/api/facts?predicate=${predicate}`)).json as unknown[]).length;
}

describe("all facts", () => {
  test("go from one node to another, and importing them again changes nothing", () =>
    withCluster(async (cluster) => {
      const first = apiOf(await cluster.primary());
      const second = apiOf(await cluster.primary({ data: `${cluster.directory}/second` }));
      for (const api of [first, second]) await api.call("POST", "/api/policy", { body: { src: polar } });
      const file = write("many.ndjson", ndjson(many));
      const imported = await run(["import", "facts", file], "", access(first.url));
      expect(imported).toEqual({ status: 0, output: "2,650 facts imported: 2,650 inserted, 0 existed\n", errors: "" });
      expect(await countOf(first, "has_role")).toBe(2600);

      const exported = await run(["export", "--out", "out.ndjson"], "", access(first.url));
      expect(exported).toEqual({ status: 0, output: "2,650 facts written to out.ndjson\n", errors: "" });
      expect(read("out.ndjson").split("\n").toSorted()).toEqual(ndjson(many).split("\n").toSorted());
      expect(existsSync(path("out.ndjson.part")) || existsSync(path("out.ndjson.part.state"))).toBe(false);

      const copied = await run(["import", "facts", "-", "--json"], read("out.ndjson"), access(second.url));
      expect(JSON.parse(copied.output)).toEqual({
        file: "-",
        facts: 2650,
        inserted: 2650,
        existing: 0,
        next_line: null,
      });
      const again = await run(["import", "facts", "out.ndjson", "--json"], "", access(second.url));
      expect(JSON.parse(again.output)).toEqual({
        file: "out.ndjson",
        facts: 2650,
        inserted: 0,
        existing: 2650,
        next_line: null,
      });
      expect((await run(["export"], "", access(second.url))).output).toBe(read("out.ndjson"));
      symlinkSync(write("old.ndjson", ""), path("latest.ndjson"));
      await run(["export", "--out", "latest.ndjson"], "", access(second.url));
      expect([lstatSync(path("latest.ndjson")).isSymbolicLink(), read("old.ndjson")]).toEqual([
        true,
        read("out.ndjson"),
      ]);
      const some = await run(["export", "--predicate", "has_relation"], "", access(second.url));
      expect(some.output).toBe(read("out.ndjson").split("\n").slice(0, 50).join("\n") + "\n");
      const json = await run(
        ["export", "--predicate", "none", "--out", "none.ndjson", "--json"],
        "",
        access(second.url),
      );
      expect([json.output, read("none.ndjson")]).toEqual(['{"file":"none.ndjson","facts":0}\n', ""]);
    }));

  test("with names that the policy does not have are imported with one warning for each", () =>
    withPolicy(async (api) => {
      const wrong = Array.from({ length: 2500 }, (_, index) => role(`user-${index}`, "membr", Org("acme")));
      const imported = await run(["import", "facts", write("wrong.ndjson", ndjson(wrong))], "", access(api.url));
      expect(imported).toEqual({
        status: 0,
        output: "2,500 facts imported: 2,500 inserted, 0 existed\n",
        errors: "warning: check the stored facts: the policy has no role `membr` of `Org`: did you mean `member`?\n",
      });
    }));

  test("are written in the batches that the node allows", () =>
    withPolicy(
      async (api) => {
        const imported = await run(
          ["import", "facts", write("small.ndjson", ndjson(many.slice(0, 400)))],
          "",
          access(api.url),
        );
        expect(imported).toEqual({ status: 0, output: "400 facts imported: 400 inserted, 0 existed\n", errors: "" });
        expect(await countOf(api, "has_role")).toBe(400);
      },
      { "advanced.batchEntriesMax": "90" },
    ));
});

describe("a line that is no fact ends the import", () => {
  let api: Api;
  primaryForAllTests(async (started) => {
    api = started;
    await api.call("POST", "/api/policy", { body: { src: polar } });
  });
  beforeEach(async () => {
    await api.call("POST", "/api/clear_data");
  });

  const [good, next] = [many[0], many[1]] as [object, object];
  const unused = fact("has_role", value("Robot", "r"), value("String", "member"), Org("org"));
  test.each([
    ["no JSON", "{", "line 3: `{` is not JSON"],
    ["two facts", JSON.stringify(good).repeat(2), "is not JSON"],
    ["more than the fact of a batch", '{"predicate":"p","args":[]}]},{"deletes":[]', "is not JSON"],
    ["another object", '{"facts": []}', 'line 3: a fact has the members "predicate" and "args"'],
    ["no object", "null", 'line 3: a fact has the members "predicate" and "args"'],
    ["no UTF-8", new Uint8Array([0x22, 0xff, 0x22]), "line 3: is not UTF-8"],
    ["an empty type", '{"predicate":"has_role","args":[{"type":"","id":"x"}]}', "line 3: http"],
    ["a fact that the policy does not use", JSON.stringify(unused), "line 3: http"],
  ])("%s", async (name, line, message) => {
    const parts = [`${ndjson([good])}\n`, line, `\n${ndjson([next])}`].map((part) => Buffer.from(part));
    const file = write(`${name}.ndjson`, Buffer.concat(parts));
    const { status, output, errors } = await run(["import", "facts", file], "", access(api.url));
    expect([status, output]).toEqual([1, "1 fact imported: 1 inserted, 0 existed\n"]);
    expect(errors).toContain(`\`${file}\`, `);
    expect(errors).toContain(message);
    expect(errors).toContain("continue with --from-line");
    expect(await countOf(api, "has_role")).toBe(1);
    const rest = await run(["import", "facts", file, "--from-line", "4"], "", access(api.url));
    expect(rest).toEqual({ status: 0, output: "1 fact imported: 1 inserted, 0 existed\n", errors: "" });
  });

  test("in the middle of many: those before it are stored", async () => {
    const file = write("late.ndjson", ndjson([...many.slice(0, 1700), unused, ...many.slice(1700, 2600)]));
    const { status, output, errors } = await run(["import", "facts", file, "--json"], "", access(api.url));
    expect([status, JSON.parse(output)]).toEqual([
      1,
      { file, facts: 1700, inserted: 1700, existing: 0, next_line: 1701 },
    ]);
    expect(errors).toContain("line 1701");
    expect(errors).toContain("not used in policy");
    const stored = new Set(
      ((await api.call("GET", "/api/facts?predicate=has_role")).json as object[]).map((one) => JSON.stringify(one)),
    );
    expect(many.slice(0, 1700).filter((one) => !stored.has(JSON.stringify(one)))).toEqual([]);
  });

  test("before others, while many batches are on their way: it decides where to continue", async () => {
    const lines = Array.from({ length: 12_000 }, (_, index) => role("ann", "member", Org(`o${index}`)));
    const file = write("two.ndjson", ndjson(lines.with(499, unused).with(1499, unused)));
    const { status, output, errors } = await run(["import", "facts", file, "--json"], "", access(api.url));
    expect([status, JSON.parse(output)]).toEqual([1, { file, facts: 499, inserted: 499, existing: 0, next_line: 500 }]);
    expect(errors).toContain("line 500");
  });
});

test("a single fact is counted in the singular", () =>
  withPolicy(async (api) => {
    const imported = await run(["import", "facts", "-"], ndjson(many.slice(0, 1)), access(api.url));
    expect(imported.output).toBe("1 fact imported: 1 inserted, 0 existed\n");
    const exported = await run(["export", "--out", "one.ndjson"], "", access(api.url));
    expect(exported.output).toBe("1 fact written to one.ndjson\n");
  }));

test("wrong usage", async () => {
  const environment = access("http://127.0.0.1:9");
  for (const [parameters, message] of [
    [["import", "facts", "x", "--from-line", "0"], "`0` is not the number of a line"],
    [["export", "--json"], "--json needs --out"],
    [["export", "--out", "missing/x"], "its directory does not exist"],
  ] as const) {
    const { status, errors } = await run(parameters, "", environment);
    expect([status, errors]).toEqual([2, expect.stringContaining(message)]);
  }
  const missing = await run(["import", "facts", "missing.ndjson"], "", environment);
  expect([missing.status, missing.errors]).toEqual([1, expect.stringContaining("missing.ndjson")]);
});

describe("an interruption", () => {
  test("of the node: the same requests are sent again", () =>
    withPolicy(async (api) => {
      const seen = new Map<string, number>();
      using proxy = proxyTo(api, async (request, forward) => {
        const id = request.headers.get("x-request-id") ?? "";
        const count = (seen.get(id) ?? 0) + 1;
        seen.set(id, count);
        // Refused, then written without an answer, then answered.
        if (count === 1) return new Response("{}", { status: 503 });
        const response = await forward();
        return count === 2 ? new Response("{}", { status: 503 }) : response;
      });
      const file = write("again.ndjson", ndjson(many.slice(0, 1500)));
      const { status, output } = await run(["import", "facts", file], "", access(proxy.url));
      expect([status, output]).toEqual([0, "1,500 facts imported: 1,500 inserted, 0 existed\n"]);
      expect([...seen.values()]).toEqual([3, 3]);
    }));

  test("of an import by a signal: it ends after the batches on their way, and says where to continue", () =>
    withPolicy(async (api) => {
      const [arrived, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      using proxy = proxyTo(api, async (_, forward) => {
        arrived.resolve();
        await released.promise;
        return forward();
      });
      const all = Array.from({ length: 20_000 }, (_, index) => role("ann", "member", Org(`o${index}`)));
      const child = await start(["import", "facts", write("signal.ndjson", ndjson(all)), "--json"], access(proxy.url));
      await arrived.promise;
      child.kill("SIGINT");
      released.resolve();
      const [output, errors, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      const { facts, next_line: nextLine } = JSON.parse(output) as { facts: number; next_line: number };
      expect([status, facts]).toEqual([1, nextLine - 1]);
      expect(errors).toContain(`--from-line ${nextLine}`);
      expect(await countOf(api, "has_role")).toBe(facts);
      const rest = await run(
        ["import", "facts", "signal.ndjson", "--from-line", String(nextLine)],
        "",
        access(api.url),
      );
      expect(rest.status).toBe(0);
      expect(await countOf(api, "has_role")).toBe(all.length);
    }));

  test("of an import whose input brings no more: it ends, too", () =>
    withPolicy(async (api) => {
      const arrived = Promise.withResolvers<void>();
      using proxy = proxyTo(api, async (_, forward) => {
        arrived.resolve();
        return forward();
      });
      const child = Bun.spawn([await builtBinary(), "import", "facts", "-"], {
        env: access(proxy.url),
        stdin: "pipe",
        stdout: "pipe",
        stderr: "pipe",
      });
      child.stdin.write(ndjson(many.slice(0, 1500)));
      await child.stdin.flush();
      await arrived.promise;
      child.kill("SIGINT");
      const [output, errors, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
      expect({ output, errors, status }).toEqual({
        output: "1,000 facts imported: 1,000 inserted, 0 existed\n",
        errors: "warning: all lines before 1001 are imported: continue with --from-line 1001\n",
        status: 1,
      });
    }));

  test("of an export: the same command continues it", () =>
    withPolicy(async (api) => {
      await run(["import", "facts", write("many.ndjson", ndjson(many))], "", access(api.url));
      let requests = 0;
      using proxy = proxyTo(api, async (_, forward) =>
        ++requests === 2 ? new Response('{"message":"no"}', { status: 400 }) : forward(),
      );
      const command = ["export", "--out", "cut.ndjson"];
      const cut = await run(command, "", access(proxy.url));
      expect([cut.status, cut.errors]).toEqual([1, expect.stringContaining("answered 400: no")]);
      expect([existsSync(path("cut.ndjson")), read("cut.ndjson.part").split("\n").length]).toEqual([false, 1001]);
      // As if the process had died in the middle of a page.
      write("cut.ndjson.part", `${read("cut.ndjson.part")}{"half`);
      const { status, output } = await run(command, "", access(proxy.url));
      expect([status, output]).toEqual([0, "2,650 facts written to cut.ndjson\n"]);
      expect(requests).toBe(4);
      const whole = (await run(["export"], "", access(api.url))).output;
      expect(read("cut.ndjson")).toBe(whole);

      // As if the file system had lost the end of the part, but not the state.
      requests = 0;
      expect((await run(command, "", access(proxy.url))).status).toBe(1);
      write("cut.ndjson.part", read("cut.ndjson.part").slice(0, 1000));
      expect((await run(command, "", access(proxy.url))).output).toBe("2,650 facts written to cut.ndjson\n");
      expect(read("cut.ndjson")).toBe(whole);
    }));

  test("of a list: later pages are asked for again, but a first request is not", () =>
    withPolicy(async (api) => {
      await run(["import", "facts", write("many.ndjson", ndjson(many))], "", access(api.url));
      let failing = 2;
      let requests = 0;
      using proxy = proxyTo(api, async (_, forward) =>
        ++requests === failing ? new Response('{"message":"away"}', { status: 503 }) : forward(),
      );
      const listed = await run(["get"], "", access(proxy.url));
      expect([listed.status, listed.errors, listed.output.split("\n").length]).toEqual([0, "", 2651]);
      expect(requests).toBe(4);
      [failing, requests] = [1, 0];
      const refused = await run(["get"], "", access(proxy.url));
      expect([refused.status, refused.errors]).toEqual([1, `error: ${proxy.url} answered 503: away\n`]);
    }));

  test("by another export to the same file: the second is refused", () =>
    withPolicy(async (api) => {
      await run(["import", "facts", write("many.ndjson", ndjson(many))], "", access(api.url));
      const [arrived, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      using proxy = proxyTo(api, async (_, forward) => {
        arrived.resolve();
        await released.promise;
        return forward();
      });
      const child = await start(["export", "--out", "same.ndjson"], access(proxy.url));
      await arrived.promise;
      const second = await run(["export", "--out", "same.ndjson"], "", access(api.url));
      released.resolve();
      expect([second.status, second.output, second.errors]).toEqual([
        1,
        "",
        expect.stringContaining("another export to `same.ndjson` is running (`same.ndjson.part.lock` is locked)"),
      ]);
      expect([await child.exited, await child.stdout.text()]).toEqual([0, "2,650 facts written to same.ndjson\n"]);
      expect(read("same.ndjson")).toBe((await run(["export"], "", access(api.url))).output);
      expect(existsSync(path("same.ndjson.part.lock"))).toBe(false);
    }));
});

/** A server in front of the API. `answer` may forward a request. */
function proxyTo(
  api: Api,
  answer: (request: Request, forward: () => Promise<Response>) => Promise<Response>,
): { readonly url: string } & Disposable {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const body = request.method === "GET" ? undefined : await request.text();
      const id = request.headers.get("x-request-id") ?? "";
      const headers = { ...admin, "X-Request-ID": id };
      return answer(request, async () => {
        const response = await fetch(api.url + pathname + search, {
          method: request.method,
          headers,
          ...(body === undefined ? {} : { body }),
        });
        return new Response(await response.text(), { status: response.status });
      });
    },
  });
  return { url: `http://127.0.0.1:${server.port}`, [Symbol.dispose]: () => void server.stop(true) };
}
