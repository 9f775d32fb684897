/** A `fetch` that can lose answers: the request arrives, and time passes until its sender stops waiting. */
import type { Fetch } from "../../../src/replication/system.ts";
import type { SimulatedClock } from "../simulated-clock.ts";

export interface LossyFetch {
  readonly fetch: Fetch;
  /** With `one write`, only the answer to that write is lost. */
  loses: "nothing" | "answers" | "one write" | "all from the next write on";
}

export function lossyFetch(isWrite: (url: string, init: RequestInit) => boolean, clock: SimulatedClock): LossyFetch {
  const lossy: LossyFetch = {
    loses: "nothing",
    async fetch(url, init) {
      const { loses } = lossy;
      const isLost = loses === "answers" || (loses !== "nothing" && isWrite(url, init));
      if (!isLost) return await fetch(url, init);
      lossy.loses = loses === "one write" ? "nothing" : "answers";
      await (await fetch(url, init)).text();
      for (let waitedMs = 0; init.signal?.aborted === false && waitedMs < 60_000; waitedMs++) clock.pass(1);
      init.signal?.throwIfAborted();
      throw new Error("the request has no time limit");
    },
  };
  return lossy;
}
