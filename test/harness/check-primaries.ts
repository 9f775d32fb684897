/**
 * Checks whether two primaries acknowledged writes at the same time. After a successor has acknowledged a write, the
 * old primary must refuse every write that is sent from then on, or forward it to the successor. So there are two
 * acknowledging primaries if a write of an earlier epoch was sent after a write of a later epoch was acknowledged.
 */
import type { Violation } from "./check-history.ts";
import type { History, Write } from "./history.ts";

interface Acknowledged {
  readonly write: Write;
  readonly epoch: string;
  readonly term: number;
}

/** One violation for each pair of epochs, with the first write that shows it. */
export function checkPrimaries({ writes, terms }: History): Violation[] {
  const acknowledged = writes.flatMap((write): Acknowledged[] => {
    const epoch = write.token?.epoch;
    const term = epoch === undefined ? undefined : terms.get(epoch);
    return epoch === undefined || term === undefined ? [] : [{ write, epoch, term }];
  });
  const ended = [...acknowledged].sort((a, b) => a.write.endMs - b.write.endMs);
  const pairs = new Map<string, { readonly first: string; count: number }>();
  let next = 0;
  let latest: Acknowledged | undefined;
  for (const one of acknowledged.sort((a, b) => a.write.sentMs - b.write.sentMs)) {
    for (let done = ended[next]; done !== undefined && done.write.endMs < one.write.sentMs; done = ended[++next])
      if (done.term > (latest?.term ?? -Infinity)) latest = done;
    // A repeated write may have been done by an earlier attempt: its answer names the epoch of that attempt.
    if (latest === undefined || latest.term <= one.term || one.write.sends > 1) continue;
    const pair = `${one.epoch} ${latest.epoch}`;
    const known = pairs.get(pair);
    if (known === undefined) pairs.set(pair, { first: describe(one, latest), count: 1 });
    else known.count++;
  }
  return [...pairs.values()].map(({ first, count }) => ({
    fault: "two acknowledging primaries",
    message: count === 1 ? first : `${first}, and ${count - 1} more like this`,
  }));
}

function describe(earlier: Acknowledged, later: Acknowledged): string {
  const position = ({ write: { token }, term }: Acknowledged): string =>
    `${token?.epoch}:${token?.offset} (term ${term})`;
  return `${earlier.write.register} was sent at ${earlier.write.sentMs.toFixed(1)} ms and acknowledged as ${position(earlier)}, although ${position(later)} was acknowledged at ${later.write.endMs.toFixed(1)} ms`;
}
