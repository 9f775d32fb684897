/**
 * Reasons of the answer card, for all questions about the example company: each way consists of facts that hold, from the
 * actor to the resource; each fact of which a denial says that it is enough is enough.
 */
import { expect, test } from "bun:test";
import type { Explanation } from "../../src/console/ui/ask/explanation.ts";
import { factsIn } from "../../src/console/ui/ask/explanation.ts";
import { nearestAttempts, permissionReason, wayText } from "../../src/console/ui/ask/reason.ts";
import { formatFact, formatValue, type Value } from "../../src/console/ui/facts/fact-text.ts";
import { facts } from "../../scripts/example/facts.ts";
import { examplePolicy } from "../e2e/cluster.ts";
import { type Api, sharedPrimary } from "../http/api.ts";

const withCleanPrimary = sharedPrimary();

async function load(api: Api): Promise<void> {
  const inserts = facts.map(([predicate, ...args]) => ({
    predicate,
    args: args.map((arg) => (typeof arg === "string" ? { type: "String", id: arg } : arg)),
  }));
  await api.call("POST", "/api/policy", { body: { src: examplePolicy } });
  const { status } = await api.call("POST", "/api/batch", { body: [{ inserts }] });
  expect(status).toBe(200);
}

const objects = facts.flatMap((fact) => fact.slice(1)).filter((arg): arg is Value => typeof arg !== "string");
const idsOf = (type: string): Value[] => [
  ...new Map(objects.filter((value) => value.type === type).map((value) => [value.id, value])).values(),
];

test("every way is true, and every fact that would be enough is enough", () =>
  withCleanPrimary(async (api) => {
    await load(api);
    const seen = { ways: 0, longest: 0, enough: 0, excluded: 0 };
    for (const actor of idsOf("User"))
      for (const resource of [...idsOf("Repository"), ...idsOf("Organization")])
        for (const action of ["read", "write", "delete"]) {
          const asked = { actor_type: actor.type, actor_id: actor.id, action };
          const body = { ...asked, resource_type: resource.type, resource_id: resource.id };
          const explanation = (await api.call("POST", "/api/explain", { body })).json as Explanation;
          const reason = permissionReason(explanation, actor, resource);
          expect(reason !== undefined).toBe(explanation.allowed);
          if (reason !== undefined) {
            const holding = new Set(factsIn(explanation).map(formatFact));
            for (const fact of [...reason.way.map((step) => step.fact), ...reason.others])
              expect(holding).toContain(formatFact(fact));
            const [first] = reason.way;
            if (first === undefined) continue;
            expect([formatValue(first.from), formatValue(reason.way.at(-1)?.to ?? actor)]).toEqual([
              formatValue(actor),
              formatValue(resource),
            ]);
            for (const [index, { from, to, fact }] of reason.way.entries()) {
              if (index > 0) expect(from).toEqual(reason.way[index - 1]?.to ?? from);
              expect(fact.args).toContainEqual(from);
              expect(fact.args).toContainEqual(to);
            }
            seen.ways++;
            seen.longest = Math.max(seen.longest, reason.way.length);
            continue;
          }
          const { candidates, excluded } = nearestAttempts(explanation);
          seen.excluded += Number(excluded !== undefined);
          for (const fact of candidates) {
            const again = await api.call("POST", "/api/authorize", { body: { ...body, context_facts: [fact] } });
            seen.enough += Number((again.json as { readonly allowed: boolean }).allowed);
          }
        }
    // The example has long ways, denials that one fact remedies, and a banned user.
    expect(seen.ways).toBeGreaterThan(20);
    expect(seen.longest).toBeGreaterThan(4);
    expect(seen.enough).toBeGreaterThan(100);
    expect(seen.excluded).toBeGreaterThan(5);
  }));

test("a way is one sentence", () => {
  const [ann, team, repo] = [value("User", "ann"), value("Team", "t"), value("Repository", "r")];
  const call = (predicate: string, from: Value, name: string, to: Value) => ({
    ...{ kind: "fact", from: "stored", rule: null },
    fact: { text: "", predicate, args: [from, value("String", name), to] },
  });
  const explanation = {
    ...{ allowed: true, policy: {}, denial: null, unknown: [], truncated: null },
    derivation: {
      ...{ kind: "rule", conclusion: { text: "", predicate: "allow", args: [] }, rule: null, times: 1 },
      steps: [
        call("has_relation", repo, "owner", team),
        call("has_role", ann, "member", team),
        { kind: "condition", text: "1 < 2" },
      ],
    },
  } as unknown as Explanation;
  const reason = permissionReason(explanation, ann, repo);
  expect(wayText(reason?.way ?? [])).toBe("has the role member on Team:t, which is the owner of Repository:r");
  expect(reason).toMatchObject({ others: [], conditions: 1 });
});

const chained = `
  actor User {}
  resource Folder {
    roles = ["writer"]; permissions = ["read", "list"]; relations = { parent: Folder };
    "read" if "writer"; "writer" if "writer" on "parent";
  }
  sees(_: User, _: Folder);
  has_permission(u: User, "list", _: Folder) if other matches Folder and sees(u, other);
`;

test("a way ends with the role that it gives, and a fact about every folder is a fact", () =>
  withCleanPrimary(async (api) => {
    await api.call("POST", "/api/policy", { body: { src: chained } });
    const [ann, a, b] = [value("User", "ann"), value("Folder", "a"), value("Folder", "b")];
    const inserts = [
      { predicate: "has_role", args: [ann, value("String", "writer"), b] },
      { predicate: "has_relation", args: [a, value("String", "parent"), b] },
    ];
    expect((await api.call("POST", "/api/batch", { body: [{ inserts }] })).status).toBe(200);
    const reasonFor = async (action: string, resource: Value) => {
      const body = { actor_type: "User", actor_id: "ann", action, resource_type: "Folder", resource_id: resource.id };
      const explanation = (await api.call("POST", "/api/explain", { body })).json as Explanation;
      return permissionReason(explanation, ann, resource);
    };
    const inherited = await reasonFor("read", a);
    expect(wayText(inherited?.way ?? [])).toBe("has the role writer on Folder:b, which is the parent of Folder:a");
    expect(inherited?.role).toBe("writer");
    // The last fact of the way says it already.
    expect((await reasonFor("read", b))?.role).toBeUndefined();
    expect(await reasonFor("list", a)).toMatchObject({ way: [], others: [], wide: ['sees(User{"ann"}, _: Folder)'] });
  }));

function value(type: string, id: string): Value {
  return { type, id };
}
