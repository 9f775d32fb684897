/** A `fetch` that can lose answers: the request arrives, and its sender gets no answer. */
import type { Fetch } from "../../../src/replication/system.ts";

export interface LossyFetch {
  readonly fetch: Fetch;
  /** With `one write`, only the answer to that write is lost. */
  loses: "nothing" | "answers" | "one write" | "all from the next write on";
}

export function lossyFetch(isWrite: (url: string, init: RequestInit) => boolean): LossyFetch {
  const lossy: LossyFetch = {
    loses: "nothing",
    async fetch(url, init) {
      const { loses } = lossy;
      const isLost = loses === "answers" || (loses !== "nothing" && isWrite(url, init));
      if (!isLost) return await fetch(url, init);
      lossy.loses = loses === "one write" ? "nothing" : "answers";
      await (await fetch(url, init)).text();
      return await never(init);
    },
  };
  return lossy;
}

function never({ signal }: RequestInit): Promise<never> {
  return new Promise((_resolve, reject) => {
    const refuse = (): void => reject(signal?.reason as Error);
    if (signal?.aborted === true) refuse();
    else signal?.addEventListener("abort", refuse, { once: true });
  });
}
