/** Compares the pages of a copy that nobody writes to with their checksums. Such a copy is replaced as a whole. */
import type { Limits } from "../config/limits.ts";
import { PageChecksums } from "../store/page-checksums.ts";
import { PageScrub, scrubTickMs } from "../store/page-scrub.ts";
import type { Clock } from "../util/clock.ts";

export interface WatchedPages {
  /** The copy is the file at `path` from now on. */
  open(path: string): void;
  /** Rejects where one still is not. */
  requirePages(): Promise<void>;
}

/** For as long as what was started runs. `onProblem` is called again and again while a page is not what it was. */
export function watchPages(
  { scrubIntervalMs }: Pick<Limits, "scrubIntervalMs">,
  onProblem: (problem: string) => void,
  started: AsyncDisposableStack,
  clock: Clock,
): WatchedPages {
  let opened: { readonly pages: PageChecksums; readonly scrub: PageScrub } | undefined;
  const close = (): void => {
    opened?.scrub.stop();
    opened?.pages.close();
    opened = undefined;
  };
  started.defer(close);
  started.defer(clock.every(scrubTickMs, () => opened?.scrub.tick()));
  return {
    open(path) {
      close();
      const pages = new PageChecksums(path);
      opened = { pages, scrub: new PageScrub(pages, scrubIntervalMs, onProblem) };
    },
    async requirePages() {
      const problem = opened?.pages.checkAgain();
      if (problem !== undefined) throw new Error(problem);
    },
  };
}
