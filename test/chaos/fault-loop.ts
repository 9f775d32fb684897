/** Injects overlapping faults at random times. */
import * as Bun from "bun";
import type { Random } from "../../scripts/benchmark/random.ts";
import type { Host } from "./network.ts";

export interface Fault<Kind> {
  readonly kind: Kind;
  readonly host: Host;
  readonly startMs: number;
  readonly durationMs: number;
}

export interface FaultLoop<Kind> {
  readonly next: Random;
  readonly pauseMsMax: number;
  /** What to inject next, and for how long; undefined if that is not possible now. */
  readonly draw: () => Promise<Omit<Fault<Kind>, "startMs"> | undefined>;
  /** Injects a fault. Resolves when it is over and its host has recovered. */
  readonly suffer: (fault: Fault<Kind>) => Promise<void>;
}

export const durationMsMin = 300;

/** Resolves with all faults when the last one is over. */
export async function injectFaults<Kind>(lengthMs: number, loop: FaultLoop<Kind>): Promise<readonly Fault<Kind>[]> {
  const endMs = performance.now() + lengthMs;
  const done: Fault<Kind>[] = [];
  const running: Promise<void>[] = [];
  for (;;) {
    await Bun.sleep(loop.next() * loop.pauseMsMax);
    const leftMs = endMs - performance.now();
    if (leftMs < durationMsMin) break;
    const drawn = await loop.draw();
    if (drawn === undefined) continue;
    const fault = { ...drawn, startMs: performance.now(), durationMs: Math.min(drawn.durationMs, leftMs) };
    done.push(fault);
    running.push(loop.suffer(fault));
  }
  await Promise.all(running);
  return done;
}

/** Prints a fault that begins. */
export function tellFault<Kind>({ startMs, durationMs }: Fault<Kind>, who: string, what: string): string {
  return `${(startMs / 1000).toFixed(1)} s: ${who}: ${what}, for ${(durationMs / 1000).toFixed(1)} s`;
}
