/** Requests to nodes as applications send them: a write with its token, and a question that may have one. */
import { expect } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { must } from "../../src/util/assert.ts";
import { adminKey, eventually, post, reader } from "./cluster.ts";

/** Returns the token of a write, once it is accepted. */
export async function written(url: string, user: string): Promise<string> {
  const tokens: string[] = [];
  await eventually(async () => {
    const answer = await post(url, "/api/batch", [{ inserts: [reader(user)] }]);
    expect([answer.status, await answer.text()]).toEqual([200, expect.anything()]);
    tokens.push(must(answer.headers.get("OsoOffset") ?? undefined));
  });
  return must(tokens[0]);
}

export async function mayReadWith(
  url: string,
  user: string,
  token?: string,
): Promise<{ status: number; allowed?: boolean }> {
  const answer = await fetch(`${url}/api/authorize`, {
    method: "POST",
    headers: {
      Authorization: `Bearer ${adminKey}`,
      "Content-Type": "application/json",
      ...(token === undefined ? {} : { OsoOffset: token }),
    },
    body: JSON.stringify({
      actor_type: "User",
      actor_id: user,
      action: "read",
      resource_type: "Repo",
      resource_id: "main",
    }),
  });
  return { status: answer.status, ...((await answer.json()) as { allowed?: boolean }) };
}

/** A copy of the directory of a stopped node. */
export function saved(data: string): () => void {
  const copy = `${data}-saved`;
  // Without the `-shm`, which is removed when the last connection of this process is collected.
  cpSync(data, copy, { recursive: true, filter: (path) => !path.endsWith("-shm") });
  return () => {
    rmSync(data, { recursive: true });
    cpSync(copy, data, { recursive: true });
  };
}
