/** What a node in a container answers at a port of this machine. */
import * as Bun from "bun";
import { expect } from "bun:test";
import { Oso } from "oso-cloud";
import { questions } from "../../scripts/example/questions.ts";
import { healthAt, type Health } from "../../scripts/node-process.ts";
import { eventually } from "../e2e/cluster.ts";

export const healthOn = (port: number): Promise<Health> => healthAt(`http://127.0.0.1:${port}`);

export async function expectAnswers(port: number, adminKey: string): Promise<void> {
  const oso = new Oso(`http://127.0.0.1:${port}`, adminKey);
  const [first] = questions;
  if (first === undefined) throw new Error("there are no questions");
  await eventually(async () => Bun.deepEquals(await first.ask(oso), first.expected), "the example arrives");
  for (const { text, ask, expected } of questions)
    expect({ text, answer: await ask(oso) }).toEqual({ text, answer: expected });
}
