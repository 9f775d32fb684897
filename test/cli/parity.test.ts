/** `ostiary parity`: its table, its JSON, its exit status, and its messages about wrong usage. */
import { expect, test } from "bun:test";
import { fact, Org, role, User, value, wildcardPolicy, withPrimary } from "../http/api.ts";
import { adminKey } from "../replication/cluster.ts";
import { workspace } from "./workspace.ts";

const { run } = workspace();

test("lists mismatches first, and fails on them if asked to", () =>
  withPrimary(async (api) => {
    const access = { OSO_URL: api.url, OSO_AUTH: adminKey };
    const parity = (...options: string[]) => run(["parity", ...options], "", access);
    expect(await parity("--fail-on-mismatch")).toEqual({
      status: 1,
      output: "0 mismatches, 0 pending, 0 matches\n",
      errors: "warning: no decision was compared, so it is not known if there are differences\n",
    });
    await api.call("POST", "/api/policy", { body: { src: wildcardPolicy } });
    const question = { actor_type: "User", action: "read", resource_type: "Org", resource_id: "acme" };
    for (const [id, actor, expected] of [
      ["r1", "ann", true],
      ["r2", "bob\u001b[31m", false],
      ["r3", undefined, true],
    ] as const) {
      const context_facts = [role(actor ?? "", "member", Org("acme")), fact("x", value("String", "a"), User("u"))];
      const body = { ...question, actor_id: actor, context_facts };
      if (actor !== undefined) await api.call("POST", "/api/authorize", { body, headers: { "X-Request-ID": id } });
      await api.call("POST", "/api/expect", { body: { request_id: id, expected } });
    }
    const time = /\d{4}-\d\d-\d\dT[\d:.]+Z/g;
    const { status, output } = await parity();
    expect([status, output.replaceAll(time, "*".repeat(24)).split("\n")]).toEqual([
      0,
      [
        "RESULT    EXPECTED  DECIDED  TIME                      ACTOR                  ACTION  RESOURCE     REQUEST ID  CONTEXT FACTS",
        'MISMATCH  deny      allow    ************************  User{"bob\\u001b[31m"}  read    Org{"acme"}  r2          has_role(User{"bob\\u001b[31m"}, "member", Org{"acme"}), x("a", User{"u"})',
        "PENDING   allow     -        ************************  -                      -       -            r3",
        'MATCH     allow     allow    ************************  User{"ann"}            read    Org{"acme"}  r1          has_role(User{"ann"}, "member", Org{"acme"}), x("a", User{"u"})',
        "1 mismatch, 1 pending, 1 match",
        "",
      ],
    ]);
    expect((await parity("--fail-on-mismatch", "--limit", "1")).status).toBe(1);
    const json = JSON.parse((await parity("--json", "--limit", "2")).output) as { reports: object[]; counts: object };
    expect(json.counts).toEqual({ mismatch: 1, pending: 1, match: 1 });
    expect(json.reports).toMatchObject([
      { result: "mismatch", expected: false, allowed: true, request_id: "r2" },
      { result: "pending", expected: true, allowed: null, request_id: "r3" },
    ]);
  }));

test("wrong usage ends with status 2", async () => {
  const access = { OSO_URL: "http://127.0.0.1:9", OSO_AUTH: adminKey };
  expect(await run(["parity", "--limit", "0"], "", access)).toMatchObject({ status: 2, output: "" });
  expect((await run(["parity"], "", { OSO_URL: access.OSO_URL })).errors).toContain("OSO_AUTH is not set");
  expect(await run(["parity"], "", access)).toMatchObject({ status: 1, output: "" });
});
