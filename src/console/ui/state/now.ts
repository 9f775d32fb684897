/** The present time, for ages that are shown. */
import { useEffect, useState } from "preact/hooks";

const intervalMs = 1000;

/** Of the wall clock, which goes on while the machine sleeps. It is read again each second while `isNeeded`. */
export function useNow(isNeeded: boolean): number {
  const [nowMs, setNowMs] = useState(Date.now());
  useEffect(() => {
    if (!isNeeded) return undefined;
    const read = (): void => setNowMs(Date.now());
    read();
    const timer = setInterval(read, intervalMs);
    // Timers of a hidden tab are slow.
    document.addEventListener("visibilitychange", read);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", read);
    };
  }, [isNeeded]);
  return nowMs;
}
