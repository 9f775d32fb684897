/** Environments in memory, for tests of statuses, shapes and texts. `test/roles` has real ones. */
import type { EnvironmentInfo, Environments } from "../../src/http/environments.ts";
import { AppError } from "../../src/util/app-error.ts";

export const createdMs = Date.parse("2026-11-29T00:00:00Z");
export const finalMs = Date.parse("2026-12-06T00:00:00Z");
export const active: EnvironmentInfo = { id: "staging", name: "Staging", createdMs, isDefault: false };

export interface InMemory extends Environments {
  readonly calls: unknown[][];
}

/** The default environment, `staging`, and `old`, which is deleted. */
export function environmentsWith(others: Partial<Environments> = {}): InMemory {
  const calls: unknown[][] = [];
  const requireKnown = (id: string): void => {
    if (id !== "staging" && id !== "old") throw new AppError("not_found", `there is no environment \`${id}\``);
  };
  return {
    calls,
    list: () => [
      {
        ...{ id: "test", name: "test", createdMs: undefined, isDefault: true },
        here: { role: "primary", offset: 7, isReady: true },
      },
      active,
      { ...active, id: "old", deletedMs: createdMs, finalMs, here: { role: "edge", offset: null, isReady: false } },
    ],
    async create(request) {
      calls.push(["create", request]);
      if (request.id === "staging") throw new AppError("conflict", "there is an environment `staging` already");
      if (request.copyOf !== undefined) requireKnown(request.copyOf);
      return { info: { ...active, id: request.id, name: request.name }, token: `e_${request.id}_secret` };
    },
    async rename(id, name) {
      requireKnown(id);
      calls.push(["rename", id, name]);
    },
    async delete(id) {
      requireKnown(id);
      calls.push(["delete", id]);
      return { finalMs };
    },
    async restore(id) {
      requireKnown(id);
      if (id === "staging") throw new AppError("conflict", "the environment `staging` is not deleted");
      calls.push(["restore", id]);
    },
    async abandon(id) {
      requireKnown(id);
      if (id === "old") throw new AppError("conflict", "this node has data of the environment `old`");
      calls.push(["abandon", id]);
    },
    async createKey(id) {
      requireKnown(id);
      calls.push(["createKey", id]);
      return { keyId: "k", token: `e_${id}_secret` };
    },
    backUp: async (id) => {
      requireKnown(id);
      return new Response(`backup of ${id}`);
    },
    complete: async () => void calls.push(["complete"]),
    incompleteUntilMs: () => undefined,
    promoteOthers: async () => [],
    previewOthers: async () => [],
    ...others,
  };
}
