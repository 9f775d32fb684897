/**
 * Limits how often something is reported that strangers can cause. The first time is reported at once, and after that at most once in `intervalMs`; the
 * report is given how often it happened since the one before.
 */
export function everySoOften(intervalMs: number): (report: (count: number) => void) => void {
  let reportedAtMs = Number.NEGATIVE_INFINITY;
  let count = 0;
  return (report) => {
    count += 1;
    const now = performance.now();
    if (now - reportedAtMs < intervalMs) return;
    reportedAtMs = now;
    const sum = count;
    count = 0;
    report(sum);
  };
}
