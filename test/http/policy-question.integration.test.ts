/** `POST /api/policy_question`: the answer under a policy that is not stored is the one after it was loaded. */
import { describe, expect, test } from "bun:test";
import type { Explanation } from "../../src/engine/explain/explanation.ts";
import { facts } from "../../scripts/example/facts.ts";
import { examplePolicy, loadExample } from "../e2e/cluster.ts";
import { converged, eventually, withCluster } from "../replication/cluster.ts";
import { type Api, apiOf, clientOf, fact, Org, User, value, withPrimary } from "./api.ts";

interface PolicyAnswer {
  readonly success: boolean;
  readonly problems: readonly { readonly severity: string; readonly message: string }[];
  readonly explanation: Explanation | null;
}

const questionOf = (actor: string, action: string, resource: { readonly type: string; readonly id: string }) => ({
  actor_type: "User",
  actor_id: actor,
  action,
  resource_type: resource.type,
  resource_id: resource.id,
});

async function ask(api: Api, body: object): Promise<PolicyAnswer> {
  const answer = await api.call("POST", "/api/policy_question", { body });
  expect([answer.status, answer.text]).toEqual([200, answer.text]);
  return answer.json as PolicyAnswer;
}

/** Names that the store does not have: a type, a predicate, a role, values. */
const rules = `
resource Door { permissions = ["open"]; relations = { organization: Organization }; "open" if "member" on "organization"; }
has_permission(user: User, "inspect", organization: Organization) if trusted(user, organization);
has_permission(User{"nobody"}, "inspect", Organization{"nowhere"});
has_permission(user: User, "shout", _: Repository) if not is_quiet(user);
`;

describe("a question of a draft", () => {
  test("is answered as after the draft was loaded, for all kinds of objects of the example", () =>
    withCluster(async (cluster) => {
      const running = await cluster.primary();
      const primary = apiOf(running);
      await loadExample(clientOf(primary.url));
      // The store has nothing of the policy: neither its closures nor all of its tables and constants.
      await primary.call("POST", "/api/policy", { body: { src: "actor User {}" } });
      const edge = apiOf(await cluster.edge("edge", running));
      await eventually(() => converged(edge.node, primary.node));
      const files = [
        { filename: "example.polar", src: examplePolicy },
        { filename: "more.polar", src: rules },
      ];
      const objects = new Map(
        facts.flat().flatMap((each) => (typeof each === "object" ? [[`${each.type} ${each.id}`, each]] : [])),
      );
      const users = [...objects.values()].filter(({ type }) => type === "User").slice(0, 2);
      const resources = [...objects.values()].filter(({ type }) => type !== "User");
      const byType = [...Map.groupBy(resources, ({ type }) => type).values()].flatMap((same) => same.slice(0, 1));
      const context_facts = [
        fact("trusted", User("nobody"), value("Organization", "acme")),
        fact("has_relation", value("Door", "main"), value("String", "organization"), value("Organization", "acme")),
      ];
      const questions = [
        ...users.flatMap(({ id }) => byType.flatMap((resource) => [questionOf(id, "read", resource)])),
        ...["acme", "nowhere"].map((id) => ({
          ...questionOf("nobody", "inspect", { type: "Organization", id }),
          context_facts,
        })),
        ...["open", "close"].map((action) => ({
          ...questionOf(users[0]?.id ?? "", action, { type: "Door", id: "main" }),
          context_facts,
        })),
        questionOf("nobody", "shout", { type: "Repository", id: "unknown" }),
      ];
      const { offset } = primary.node.health();
      const drafts = [];
      for (const [index, question] of questions.entries())
        drafts.push(await ask(index % 2 === 0 ? primary : edge, { files, question }));
      // Nothing was stored.
      expect(primary.node.health().offset).toBe(offset);
      // The tests of the example know nothing of the new rules.
      const src = files.map((file) => file.src).join("\n");
      expect((await primary.call("POST", "/api/policy?force=true", { body: { src } })).status).toBe(200);
      const decisions = new Set<boolean>();
      for (const [index, question] of questions.entries()) {
        const { json } = await primary.call("POST", "/api/explain", { body: question });
        const { success, explanation } = drafts[index] ?? {};
        const { policy, ...rest } = withoutLines(explanation);
        expect([success, policy]).toEqual([true, { id: 0, filename: "example.polar, more.polar" }]);
        const { policy: _, ...activated } = withoutLines(json);
        expect(rest).toEqual(activated);
        decisions.add(explanation?.allowed === true);
      }
      expect(decisions.size).toBe(2);
    }));

  test("says the problems of a policy with errors, and is refused like other checks", () =>
    withPrimary(async (api) => {
      const question = questionOf("ann", "read", Org("acme"));
      const broken = await ask(api, { src: "actor User {", question });
      expect(broken).toMatchObject({ success: false, explanation: null });
      expect(broken.problems[0]?.severity).toBe("error");
      const none = await ask(api, { src: "actor User {}", question });
      expect(none).toMatchObject({ success: true, explanation: { allowed: false } });
      for (const body of [
        { src: "actor User {}" },
        { question },
        { src: "actor User {}", question: { ...question, action: "" } },
        { src: "actor User {}", question, files: [{ filename: "a", src: "" }] },
        { src: "actor User {}", question: { ...question, context_facts: [fact("p", value("Integer", "x"))] } },
      ])
        expect((await api.call("POST", "/api/policy_question", { body })).status).toBe(400);
    }));
});

/** Positions differ, since the draft has two files. */
function withoutLines(explanation: unknown): Record<string, unknown> {
  const text = JSON.stringify(explanation, (key, given: unknown) =>
    ["file", "line", "column"].includes(key) ? undefined : given,
  );
  return JSON.parse(text) as Record<string, unknown>;
}
