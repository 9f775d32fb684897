/** Makes an edge the primary in place of one that answers, as `ostiary promote --graceful` does. */
import type { NodeProcess } from "../../scripts/node-process.ts";

export async function promote({ name, url }: NodeProcess, adminKey: string): Promise<void> {
  const response = await fetch(`${url}/api/promote`, {
    method: "POST",
    headers: { Authorization: `Bearer ${adminKey}`, "Content-Type": "application/json" },
    body: JSON.stringify({ graceful: true }),
  });
  if (!response.ok) throw new Error(`${name} was not promoted: ${response.status} ${await response.text()}`);
}
