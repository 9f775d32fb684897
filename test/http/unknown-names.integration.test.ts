/** The header `Ostiary-Hint` of answers that another process computes, and of a node without a policy. */
import { expect, test } from "bun:test";
import { textOfHeader } from "../../src/util/header-text.ts";
import { value, withPrimary } from "./api.ts";

const ann = { actor_type: "User", actor_id: "ann", action: "read" };

test("a question that worker processes answer has the same hint, and each answer without a policy says that", () =>
  withPrimary(async (api) => {
    const resources = Array.from({ length: 200 }, (_, index) => value("Projct", `${"y".repeat(500)}${index}`));
    const questions = [
      ["/api/authorize_resources", { ...ann, resources }],
      ["/api/authorize", { ...ann, resource_type: "Projct", resource_id: "x" }],
      ["/api/list", { ...ann, resource_type: "Projct" }],
    ] as const;
    const expectHint = async (hint: string): Promise<void> => {
      for (const [path, body] of questions) {
        const { status, headers } = await api.call("POST", path, { body });
        expect([path, status, textOfHeader(headers.get("ostiary-hint") ?? "")]).toEqual([path, 200, hint]);
      }
    };
    await expectHint("no policy is loaded, and nothing is allowed without one");
    await api.call("POST", "/api/policy", {
      body: { src: 'actor User {} resource Project { permissions = ["read"]; }' },
    });
    await expectHint("the policy has no type `Projct`: did you mean `Project`?");
  }));
