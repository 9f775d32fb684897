/** All attacks by name, in their order, with their shares of the time. */
import type { Attack } from "./attack.ts";
import { largeBodies, malformedRequests, slowBodies } from "./body-attacks.ts";
import { unfinishedBodiesWithKey, unfinishedBodiesWithoutKey } from "./body-attacks.ts";
import { connectionsBeyondTheLimit, idleConnections, mqttConnections } from "./connection-attacks.ts";
import { mqttLogins, upgrades } from "./connection-attacks.ts";
import { fullDisks } from "./disk-attack.ts";
import { bodiesFullOfErrors, callChains, eventStreams, unreadAnswers } from "./key-attacks.ts";
import { expensivePolicies } from "./policy-attacks.ts";
import { randomRequests } from "./random-requests.ts";

interface Listed {
  readonly run: Attack;
  /** The weight of its time. */
  readonly weight: number;
  /** Whether it also runs together with the others at the end. */
  readonly mixes: boolean;
}

export const attacks = {
  "idle connections": { run: idleConnections, weight: 1, mixes: false },
  "connections beyond the limit": { run: connectionsBeyondTheLimit, weight: 2, mixes: false },
  "unfinished bodies without a key": { run: unfinishedBodiesWithoutKey, weight: 1.5, mixes: true },
  "unfinished bodies with a key": { run: unfinishedBodiesWithKey, weight: 1.5, mixes: false },
  "slow bodies": { run: slowBodies, weight: 1, mixes: true },
  "large bodies": { run: largeBodies, weight: 1, mixes: false },
  "malformed requests": { run: malformedRequests, weight: 1, mixes: true },
  upgrades: { run: upgrades, weight: 0.7, mixes: true },
  "MQTT connections": { run: mqttConnections, weight: 1, mixes: true },
  "MQTT logins": { run: mqttLogins, weight: 0.7, mixes: true },
  "bodies full of errors": { run: bodiesFullOfErrors, weight: 1, mixes: true },
  "unread answers": { run: unreadAnswers, weight: 1, mixes: true },
  "expensive policies": { run: expensivePolicies, weight: 1.5, mixes: true },
  "call chains": { run: callChains, weight: 1, mixes: true },
  "event streams": { run: eventStreams, weight: 1, mixes: true },
  "full disks": { run: fullDisks, weight: 1.5, mixes: false },
} as const satisfies Readonly<Record<string, Listed>>;

/** Runs all the time, concurrently with the others. */
export const background = "random requests";

export type AttackName = keyof typeof attacks;

export function findAttack(name: string): Attack {
  const found: Attack | undefined =
    name === background ? randomRequests : (attacks as Readonly<Record<string, Listed>>)[name]?.run;
  if (found === undefined) throw new Error(`there is no attack \`${name}\``);
  return found;
}
